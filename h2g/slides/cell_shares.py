"""Mean of a raster in each cell of a grid of patches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from h2g.slides.patch_plan import PatchPlan

# Smaller shares are rounding errors of the cells' edges: 0.07 of a patch's 65,536 pixels.
ROUNDING = 1e-6


def cell_shares(plan: PatchPlan, raster: np.ndarray) -> np.ndarray:
    """Mean of a raster in each cell, weighted by area; 0 outside the field.

    Args:
        raster: (h, w), bool or number, over the whole field at any resolution.
    Returns:
        (rows, cols) float32.
    """
    height, width = raster.shape
    row_edges = _edges(plan.rows, plan.step_level0 * height / plan.field_level0[1])
    col_edges = _edges(plan.cols, plan.step_level0 * width / plan.field_level0[0])
    shares = np.empty((plan.rows, plan.cols))
    for row in range(plan.rows):  # one row of cells at a time, because rasters are large
        band = _row_mean(raster, row_edges[row], row_edges[row + 1])
        shares[row] = np.diff(_integral(band, col_edges)) / np.diff(col_edges)
    shares[np.abs(shares) < ROUNDING] = 0
    return shares.astype(np.float32)


def _edges(count: int, step: float) -> np.ndarray:
    return np.arange(count + 1) * step


def _row_mean(raster: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """Mean of the rows from ``top`` to ``bottom``, (w,); partial rows count by their part."""
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
