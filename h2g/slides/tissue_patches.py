"""The patches of a slide that hold tissue, and a reader of their batches on several threads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from h2g.concurrency import ReadAhead
from h2g.recipes.preprocessing import AdaptiveSettings, Preprocessing
from h2g.slides.adaptive_cells import first_cells
from h2g.slides.reading import PatchPlan, Plane, Slide, SlideInfo, SlidePool, plan_patches
from h2g.slides.tissue import TissueMask, find_tissue

BATCH_SIZE = 16
# Limit of patches that wait for the network; enough to keep it busy through slow tiles.
WAITING_BYTES = 128 << 20
# h2g.benchmarking.bound detects the first patches by this message.
FIRST_READ = "%s: the first patches are read."
# (n, 2) cells -> (n, S, S, 3) uint8
PatchBatches = ReadAhead[np.ndarray, np.ndarray]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Located:
    """The patches of a slide that hold tissue.

    Attributes:
        cells: (n, 2) int, row and column in the plan's grid, row by row.
        wanted: whether any network takes patches; if not, there are no cells.
    """

    info: SlideInfo
    tissue: TissueMask
    plan: PatchPlan
    cells: np.ndarray
    wanted: bool = True

    def why_none(self, preprocessing: Preprocessing) -> str | None:
        """The reason why there is nothing to segment; None if there is something."""
        if len(self.cells) or (not self.wanted and self.tissue.mask.any()):
            return None
        rule = f"rule {preprocessing.tissue.rule} at {preprocessing.tissue.threshold:g}"
        if not self.tissue.mask.any():
            return f"no tissue found ({rule}); 'h2g tissue' shows what the rule sees."
        return (
            f"no patch has more than {preprocessing.patch.min_tissue:.0%} tissue ({rule}, "
            f"{self.tissue.area_mm2:.3f} mm2 found); 'h2g tissue' shows what the rule sees."
        )


def locate_patches(
    slide: Slide,
    preprocessing: Preprocessing,
    *,
    tissue: TissueMask | None = None,
    wanted: bool = True,
) -> Located:
    """Finds the patches of a slide that hold tissue.

    Args:
        tissue: the tissue of this slide, if the same rule has already found it.
        wanted: off if only the tissue is needed.
    """
    plan = plan_patches(slide.info, preprocessing.patch)
    if plan.read_px != plan.size_px:
        logger.debug(
            "%s: no level within %.0f %% of %g um/px; patches are resampled from level %d.",
            slide.info.path.name,
            100 * preprocessing.patch.tolerance,
            preprocessing.patch.mpp,
            plan.level,
        )
    if tissue is None:
        tissue = find_tissue(slide, preprocessing.tissue)
    cells = np.empty((0, 2), int)
    if wanted:
        cells = np.argwhere(plan.tissue_cells(tissue, preprocessing.patch.min_tissue))
    return Located(slide.info, tissue, plan, cells, wanted)


@dataclass(frozen=True)
class LaterPatches:
    """Patches that are chosen once others are classified (h2g.slides.adaptive_cells).

    Attributes:
        threshold: difference between neighbours above which a patch is classified.
        read: starts to read the patches of (n, 2) cells.
    """

    threshold: float
    read: Callable[[np.ndarray], PatchBatches]


def first_pass(
    cells: np.ndarray, plan: PatchPlan, plane: Plane, adaptive: AdaptiveSettings
) -> np.ndarray:
    """The cells that adaptive prediction classifies before any other, (n, 2).

    Args:
        cells: (N, 2) int, all cells with tissue.
    """
    red = None if adaptive.darker is None else plan.cell_shares(plane.rgb[..., 0])
    return first_cells(cells, red, adaptive.darker)


def read_batches(
    pool: SlidePool,
    located: Located,
    mpp: float | None,
    *,
    threads: int,
    batch_size: int,
    cells: np.ndarray | None = None,
) -> PatchBatches:
    """Starts to read the located patches, or those of some ``cells``, in batches of neighbours."""
    plan, cells = located.plan, located.cells if cells is None else cells

    def read(batch: np.ndarray) -> np.ndarray:
        with pool.lease(located.info.path, mpp) as slide:
            patches = np.stack([plan.read_cell(slide, cell) for cell in batch])
        if batch is batches[0]:
            logger.debug(FIRST_READ, located.info.path.name)
        return patches

    batches = [cells[start : start + batch_size] for start in range(0, len(cells), batch_size)]
    waiting = WAITING_BYTES // (batch_size * plan.size_px**2 * 3)
    return ReadAhead(read, batches, threads=threads, ahead=max(2 * threads, waiting))
