"""The heatmap of a slide: threads read patches of tissue while the network classifies them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from h2g.concurrency import ReadAhead, Stopwatch
from h2g.errors import SlideError
from h2g.inference.engine import Engine
from h2g.progress import progress
from h2g.recipes.preprocessing import Preprocessing
from h2g.slides.grid import PatchGrid, patch_grid, tissue_cells
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Slide, SlideInfo, SlidePool, read_patch
from h2g.slides.tissue import TissueMask, find_tissue

BATCH_SIZE = 16
# What is read and lies waiting at most: keeps the network busy through slow tiles.
WAITING_BYTES = 128 << 20
# h2g.benchmarking.bound listens for it.
FIRST_READ = "%s: the first patches are read."
# (n, 2) cells -> (n, S, S, 3) uint8
PatchBatches = ReadAhead[np.ndarray, np.ndarray]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopSeconds:
    """Wall seconds of filling a heatmap; the three parts are the whole loop.

    Attributes:
        waiting: for patches. An engine that runs several batches at once works meanwhile.
        inference: the rest but ``stitching``.
        stitching: putting probabilities into the heatmap.
    """

    waiting: float
    inference: float
    stitching: float


@dataclass(frozen=True)
class Patchwise:
    heatmap: Heatmap
    tissue: TissueMask
    info: SlideInfo
    patches: int


@dataclass(frozen=True)
class Located:
    """The patches of a slide that hold tissue.

    Attributes:
        cells: (n, 2) int, row and column in ``grid``, row by row.
        classified: off for a model without patch stage, and then there are no cells.
    """

    info: SlideInfo
    tissue: TissueMask
    grid: PatchGrid
    cells: np.ndarray
    classified: bool = True

    def why_none(self, preprocessing: Preprocessing) -> str | None:
        """Why there is nothing to segment, or None when there is."""
        if len(self.cells) or (not self.classified and self.tissue.mask.any()):
            return None
        rule = f"rule {preprocessing.tissue.rule} at {preprocessing.tissue.threshold:g}"
        if not self.tissue.mask.any():
            return f"no tissue found ({rule}); 'h2g tissue' shows what the rule sees."
        return (
            f"no patch has more than {preprocessing.patch.min_tissue:.0%} tissue ({rule}, "
            f"{self.tissue.area_mm2:.3f} mm2 found); 'h2g tissue' shows what the rule sees."
        )


def classify_slide(
    slide_path: Path,
    mpp: float | None,
    engine: Engine,
    preprocessing: Preprocessing,
    class_count: int,
    *,
    threads: int,
    batch_size: int = BATCH_SIZE,
    tissue: TissueMask | None = None,
) -> Patchwise:
    """Class probabilities of every patch of a slide that holds tissue.

    Args:
        mpp: um/px of level 0; None takes the slide's own.
        tissue: found before by the same rule.
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
            heatmap, _ = classify_batches(batches, engine, located, class_count)
    return Patchwise(heatmap, located.tissue, located.info, len(located.cells))


def locate_patches(
    slide: Slide,
    preprocessing: Preprocessing,
    *,
    tissue: TissueMask | None = None,
    classified: bool = True,
) -> Located:
    """Which patches of a slide hold tissue.

    Args:
        tissue: found before by the same rule.
        classified: off where only the tissue is wanted.
    """
    grid = patch_grid(slide.info, preprocessing.patch)
    if grid.plan.read_px != grid.plan.size_px:
        logger.debug(
            "%s: no level within %.0f %% of %g um/px; patches are resampled from level %d.",
            slide.info.path.name,
            100 * preprocessing.patch.tolerance,
            preprocessing.patch.mpp,
            grid.plan.level,
        )
    if tissue is None:
        tissue = find_tissue(slide, preprocessing.tissue)
    cells = np.empty((0, 2), int)
    if classified:
        cells = np.argwhere(tissue_cells(grid, tissue, preprocessing.patch))
    return Located(slide.info, tissue, grid, cells, classified)


def read_batches(
    pool: SlidePool, located: Located, mpp: float | None, *, threads: int, batch_size: int
) -> PatchBatches:
    """The located patches in batches of neighbours, being read from now on."""
    grid, cells = located.grid, located.cells

    def read(batch: np.ndarray) -> np.ndarray:
        with pool.lease(located.info.path, mpp) as slide:
            patches = np.stack([read_cell(slide, grid, cell) for cell in batch])
        if batch is batches[0]:
            logger.debug(FIRST_READ, located.info.path.name)
        return patches

    batches = [cells[start : start + batch_size] for start in range(0, len(cells), batch_size)]
    waiting = WAITING_BYTES // (batch_size * grid.plan.size_px**2 * 3)
    return ReadAhead(read, batches, threads=threads, ahead=max(2 * threads, waiting))


def read_cell(slide: Slide, grid: PatchGrid, cell: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8, the patch of one (row, column)."""
    return read_patch(slide, grid.plan, grid.xy_level0(int(cell[0]), int(cell[1])))


def classify_batches(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    engine: Engine,
    located: Located,
    class_count: int,
) -> tuple[Heatmap, LoopSeconds]:
    """The heatmap, filled as batches arrive.

    Args:
        batches: ``(cells, patches)`` as :func:`read_batches` gives them.
    """
    grid, info = located.grid, located.info
    values = np.zeros((grid.rows, grid.cols, class_count), np.float32)
    start, waiting, stitching = time.perf_counter(), Stopwatch(), Stopwatch()
    found = engine.classify_each(waiting.each(batches))
    # Closed whatever ends the loop: no batch is in the network then.
    with progress(info.path.stem, len(located.cells)) as advance, closing(found):
        for cells, probabilities in found:
            with stitching:
                values[cells[:, 0], cells[:, 1]] = probabilities
            advance(len(cells))
    total = time.perf_counter() - start
    inference = total - waiting.seconds - stitching.seconds
    heatmap = Heatmap(values, grid.plan.step_level0, info.known_mpp, info.field_level0)
    return heatmap, LoopSeconds(waiting.seconds, inference, stitching.seconds)
