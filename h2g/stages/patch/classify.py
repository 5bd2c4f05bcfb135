"""Makes the heatmap of a slide: threads read its patches while the network classifies them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from h2g.concurrency import Stopwatch
from h2g.engines.engine import PATCH_INPUT, Feed, Network
from h2g.errors import SlideError
from h2g.progress import progress
from h2g.recipes.preprocessing import Preprocessing
from h2g.results.slide_state import SlideState
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import PatchPlan, SlideInfo, SlidePool
from h2g.slides.tissue import TissueMask
from h2g.slides.tissue_patches import (
    BATCH_SIZE,
    Located,
    locate_patches,
    read_batches,
)
from h2g.texts import name_of_slide


@dataclass(frozen=True)
class LoopSeconds:
    """Wall seconds of filling a heatmap; the three parts sum to the whole loop.

    Attributes:
        waiting: waiting for patches; an engine that runs several batches at once works meanwhile.
        inference: the remaining time.
        stitching: putting probabilities into the heatmap.
    """

    waiting: float
    inference: float
    stitching: float


@dataclass(frozen=True)
class Patchwise:
    """The heatmap of a slide, its tissue, and the number of classified patches."""

    heatmap: Heatmap
    tissue: TissueMask
    info: SlideInfo
    patches: int


def classify_patches(state: SlideState, network: Network) -> SlideState:
    """Adds the heatmap to the state of a slide whose patches are being read.

    Raises:
        SlideError: a patch cannot be read.
    """
    if state.batches is None or state.located is None:
        raise ValueError("no patches of this slide are being read")
    with state.batches as batches:
        heatmap, loop = classify_batches(batches, network, state.located)
    seconds = dataclasses.replace(
        state.seconds,
        read=state.batches.seconds,
        waiting=loop.waiting,
        stitching=loop.stitching,
    )
    return dataclasses.replace(state, heatmap=heatmap, batches=None, seconds=seconds)


def classify_slide(
    slide_path: Path,
    mpp: float | None,
    network: Network,
    preprocessing: Preprocessing,
    *,
    threads: int,
    batch_size: int = BATCH_SIZE,
    tissue: TissueMask | None = None,
) -> Patchwise:
    """Class probabilities of every patch of a slide that holds tissue.

    Args:
        mpp: um/px of level 0; None takes the slide's own.
        tissue: tissue mask, if it was found before by the same rule.
    Raises:
        SlideError: the slide cannot be read, has no resolution or no tissue.
    """
    with closing(SlidePool(max_open=threads + 1)) as pool:
        with pool.lease(slide_path, mpp) as slide:
            located = locate_patches(slide, preprocessing, tissue=tissue)
        reason = located.why_none(preprocessing)
        if reason:
            raise SlideError(f"{slide_path.name}: {reason}")
        with read_batches(pool, located, mpp, threads=threads, batch_size=batch_size) as batches:
            heatmap, _ = classify_batches(batches, network, located)
    return Patchwise(heatmap, located.tissue, located.info, len(located.cells))


def classify_batches(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    network: Network,
    located: Located,
) -> tuple[Heatmap, LoopSeconds]:
    """The heatmap, filled as batches arrive; the network sets the number of cells per patch.

    Args:
        batches: ``(cells, patches)`` from h2g.slides.tissue_patches.read_batches.
    """
    plan, info = located.plan, located.info
    heatmap_cells = HeatmapCells(plan)
    start, waiting, stitching = time.perf_counter(), Stopwatch(), Stopwatch()
    outputs = network.run_each(_feeds(waiting.each(batches)))
    # Closed however the loop ends, so that no batch stays in the network.
    with progress(name_of_slide(info.path), len(located.cells)) as advance, closing(outputs):
        for cells, probabilities in outputs:
            with stitching:
                heatmap_cells.put(cells, probabilities)
            advance(len(cells))
    total = time.perf_counter() - start
    inference = total - waiting.seconds - stitching.seconds
    return heatmap_cells.heatmap(info), LoopSeconds(waiting.seconds, inference, stitching.seconds)


class HeatmapCells:
    """The cells of a heatmap, filled patch by patch."""

    def __init__(self, plan: PatchPlan) -> None:
        self._plan = plan
        self._values: np.ndarray | None = None

    def put(self, patches: np.ndarray, answers: np.ndarray) -> None:
        """Fills the cells of some patches.

        Args:
            patches: (n, 2) int, rows and columns of the plan's grid.
            answers: (n, C) or (n, s, s, C) float32, probabilities.
        """
        count, classes = len(answers), answers.shape[-1]
        s = 1 if answers.ndim == 2 else answers.shape[1]
        if self._values is None:
            self._values = np.zeros((self._plan.rows, s, self._plan.cols, s, classes), np.float32)
        self._values[patches[:, 0], :, patches[:, 1]] = answers.reshape(count, s, s, classes)

    def heatmap(self, info: SlideInfo) -> Heatmap:
        if self._values is None:
            raise ValueError("no patch was classified")
        rows, s, cols, _, classes = self._values.shape
        values = self._values.reshape(rows * s, cols * s, classes)
        return Heatmap(values, self._plan.step_level0 / s, info.frame)


def _feeds(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, Feed]]:
    return ((cells, {PATCH_INPUT: patches}) for cells, patches in batches)
