"""The grid of patches over a slide, and the share of anything in each of its cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.fast_patches import fast_origin_level0, fast_tissue_cells
from h2g.slides.info import SlideInfo
from h2g.slides.patches import plan_patches
from h2g.slides.plan import PatchPlan
from h2g.slides.tissue import TissueMask

# Shares below this are rounding of the cells' edges: 0.07 of the 65,536 pixels of a patch.
ROUNDING = 1e-6


@dataclass(frozen=True)
class PatchGrid:
    """Cells of one patch each, from level-0 (0, 0) on, as many as cover the field."""

    plan: PatchPlan
    rows: int
    cols: int
    field_level0: tuple[int, int]

    def xy_level0(self, row: int, col: int) -> tuple[int, int]:
        """Where the patch of a cell starts, on a pixel of the level that it is read from."""
        if self.plan.is_fast:
            return fast_origin_level0(self.plan, col), fast_origin_level0(self.plan, row)
        read_px, downsample = self.plan.read_px, self.plan.downsample
        return round(col * read_px * downsample), round(row * read_px * downsample)


def patch_grid(info: SlideInfo, settings: PatchSettings) -> PatchGrid:
    """The grid of a slide's patches; SlideError as :func:`plan_patches` raises it."""
    plan = plan_patches(info, settings)
    if plan.is_fast:
        return PatchGrid(plan, plan.rows, plan.cols, info.field_level0)
    width, height = info.field_level0
    cols, rows = (math.ceil(side / plan.step_level0 - ROUNDING) for side in (width, height))
    return PatchGrid(plan, rows, cols, info.field_level0)


def cell_shares(grid: PatchGrid, raster: np.ndarray) -> np.ndarray:
    """Mean of a raster in each cell, weighted by area; beyond the field counts as 0.

    Args:
        raster: (h, w), bool or number, of the whole field at any resolution.
    Returns:
        (rows, cols) float32.
    """
    height, width = raster.shape
    row_edges = _edges(grid.rows, grid.plan.step_level0 * height / grid.field_level0[1])
    col_edges = _edges(grid.cols, grid.plan.step_level0 * width / grid.field_level0[0])
    shares = np.empty((grid.rows, grid.cols))
    for row in range(grid.rows):  # one row of cells at a time: rasters are large
        band = _row_mean(raster, row_edges[row], row_edges[row + 1])
        shares[row] = np.diff(_integral(band, col_edges)) / np.diff(col_edges)
    shares[np.abs(shares) < ROUNDING] = 0
    return shares.astype(np.float32)


def tissue_cells(grid: PatchGrid, tissue: TissueMask, settings: PatchSettings) -> np.ndarray:
    """(rows, cols) bool: the cells with more tissue than the settings' share; by FAST's
    rules those with as much at least."""
    if grid.plan.is_fast:
        return fast_tissue_cells(
            grid.plan,
            tissue.mask,
            field_width_level0=grid.field_level0[0],
            min_tissue=settings.min_tissue,
        )
    return cell_shares(grid, tissue.mask) > settings.min_tissue


def _edges(count: int, step: float) -> np.ndarray:
    return np.arange(count + 1) * step


def _row_mean(raster: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """(w,) mean of the rows from ``top`` to ``bottom``, partly covered ones by their part."""
    first, last = int(top), min(math.ceil(bottom), len(raster))
    pixel = np.arange(first, last)
    weights = np.minimum(bottom, pixel + 1) - np.maximum(top, pixel)
    return weights @ raster[first:last].astype(np.float64) / (bottom - top)


def _integral(band: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Integral of a row of pixels from 0 to each edge."""
    total = np.concatenate([[0.0], np.cumsum(band)])
    inside = np.minimum(edges, len(band))
    pixel = np.minimum(inside.astype(int), len(band) - 1)
    return total[pixel] + (inside - pixel) * (total[pixel + 1] - total[pixel])
