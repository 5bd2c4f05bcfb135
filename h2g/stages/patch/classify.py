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
from h2g.recipes.preprocessing import AdaptiveSettings, Preprocessing
from h2g.results.slide_state import SlideState
from h2g.slides.adaptive_cells import NEIGHBOURS, Chosen, later_cells
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import PatchPlan, Plane, SlideInfo, SlidePool
from h2g.slides.tissue import TissueMask
from h2g.slides.tissue_patches import (
    BATCH_SIZE,
    LaterPatches,
    Located,
    first_pass,
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
        stitching: putting probabilities into the heatmap, and choosing later patches.
        read_later: thread seconds of reading later passes' patches, beside the three.
    """

    waiting: float
    inference: float
    stitching: float
    read_later: float = 0.0


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
        heatmap, loop = classify_batches(batches, network, state.located, state.later)
    seconds = dataclasses.replace(
        state.seconds,
        read=state.batches.seconds + loop.read_later,
        waiting=loop.waiting,
        stitching=loop.stitching,
    )
    return dataclasses.replace(state, heatmap=heatmap, batches=None, later=None, seconds=seconds)


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
    later: LaterPatches | None = None,
) -> tuple[Heatmap, LoopSeconds]:
    """The heatmap, filled as batches arrive; the network sets the number of cells per patch.

    Args:
        batches: ``(cells, patches)`` from h2g.slides.tissue_patches.read_batches.
        later: how further patches are chosen and read, pass by pass.
    """
    heatmap_cells = HeatmapCells(located.plan)
    start, waiting, stitching = time.perf_counter(), Stopwatch(), Stopwatch()
    with progress(name_of_slide(located.info.path), len(located.cells)) as advance:

        def classify(batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
            outputs = network.run_each(_feeds(waiting.each(batches)))
            # Closed however the loop ends, so that no batch stays in the network.
            with closing(outputs):
                for cells, probabilities in outputs:
                    with stitching:
                        heatmap_cells.put(cells, probabilities)
                    advance(len(cells))

        classify(batches)
        read_later = 0.0
        for number in range(len(NEIGHBOURS)):
            if later is None:
                break
            with stitching:
                chosen = heatmap_cells.choose(located.cells, number, later.threshold)
                heatmap_cells.estimate(chosen)
            advance(len(chosen.estimated))
            if len(chosen.cells):
                with later.read(chosen.cells) as further:
                    classify(further)
                read_later += further.seconds
    total = time.perf_counter() - start
    inference = total - waiting.seconds - stitching.seconds
    heatmap = heatmap_cells.heatmap(located.info, has_estimates=later is not None)
    return heatmap, LoopSeconds(waiting.seconds, inference, stitching.seconds, read_later)


def thinned(
    heatmap: Heatmap, plan: PatchPlan, adaptive: AdaptiveSettings, plane: Plane
) -> tuple[Heatmap, float]:
    """The heatmap that adaptive prediction would have made, and the percentage of its patches.

    Args:
        heatmap: with every patch classified.
        plane: the slide's low-resolution image.
    """
    rows, cols, classes = plan.rows, plan.cols, heatmap.values.shape[2]
    s = heatmap.values.shape[0] // rows
    patches = heatmap.values.reshape(rows, s, cols, s, classes).swapaxes(1, 2)
    cells = np.argwhere(patches.any(axis=(2, 3, 4)))
    filled = HeatmapCells(plan)

    def classify(chosen: np.ndarray) -> None:
        if len(chosen):
            filled.put(chosen, patches[chosen[:, 0], chosen[:, 1]])

    classify(first_pass(cells, plan, plane, adaptive))
    for number in range(len(NEIGHBOURS)):
        chosen = filled.choose(cells, number, adaptive.threshold)
        filled.estimate(chosen)
        classify(chosen.cells)
    return filled.thinned(heatmap), 100 * filled.classified / max(1, len(cells))


class HeatmapCells:
    """The cells of a heatmap, filled patch by patch."""

    def __init__(self, plan: PatchPlan) -> None:
        self._plan = plan
        self._values: np.ndarray | None = None
        self._classified = np.zeros((plan.rows, plan.cols), bool)
        self._estimated = np.zeros((plan.rows, plan.cols), bool)

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
        self._classified[patches[:, 0], patches[:, 1]] = True

    def choose(self, cells: np.ndarray, number: int, threshold: float) -> Chosen:
        """The choice of a later pass (h2g.slides.adaptive_cells), given the cells with tissue."""
        if self._values is None:  # no cell of the first pass holds tissue
            return Chosen(cells[:0] if number else cells, cells[:0], np.empty((0, 0), np.float32))
        values = self._values
        return later_cells(
            cells,
            values.min(axis=(1, 3)),
            values.max(axis=(1, 3)),
            values.mean(axis=(1, 3)),
            self._classified | self._estimated,
            number=number,
            threshold=threshold,
        )

    def estimate(self, chosen: Chosen) -> None:
        """Fills the cells that are not worth classifying."""
        if self._values is not None and len(chosen.estimated):
            rows, cols = chosen.estimated.T
            self._values[rows, :, cols] = chosen.values[:, None, None]
            self._estimated[rows, cols] = True

    @property
    def classified(self) -> int:
        """Number of patches that the network has classified."""
        return int(self._classified.sum())

    def thinned(self, heatmap: Heatmap) -> Heatmap:
        """A heatmap with these cells in place of its own."""
        if self._values is None:
            return heatmap
        return dataclasses.replace(heatmap, values=self._values.reshape(heatmap.values.shape))

    def heatmap(self, info: SlideInfo, *, has_estimates: bool = False) -> Heatmap:
        if self._values is None:
            raise ValueError("no patch was classified")
        rows, s, cols, _, classes = self._values.shape
        values = self._values.reshape(rows * s, cols * s, classes)
        classified = None
        if has_estimates:
            classified = np.kron(self._classified, np.ones((s, s), bool))
        return Heatmap(values, self._plan.step_level0 / s, info.frame, classified)


def _feeds(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, Feed]]:
    return ((cells, {PATCH_INPUT: patches}) for cells, patches in batches)
