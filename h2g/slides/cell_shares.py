"""Mean of a raster in each cell of a grid of patches."""

from __future__ import annotations

import math

import numpy as np

# Smaller shares are rounding errors of the cells' edges: 0.07 of a patch's 65,536 pixels.
ROUNDING = 1e-6


def cell_shares(
    raster: np.ndarray,
    *,
    grid: tuple[int, int],
    step_level0: float,
    field_level0: tuple[int, int],
) -> np.ndarray:
    """Mean of a raster in each cell, weighted by area; 0 outside the field.

    Args:
        raster: (h, w), bool or number, over the whole field at any resolution.
        grid: (rows, cols) of cells, from level-0 (0, 0) on.
        step_level0: side of a cell in level-0 pixels.
        field_level0: (width, height) of the slide.
    Returns:
        (rows, cols) float32.
    """
    height, width = raster.shape
    rows, cols = grid
    row_edges = _edges(rows, step_level0 * height / field_level0[1])
    col_edges = _edges(cols, step_level0 * width / field_level0[0])
    shares = np.empty(grid)
    for row in range(rows):  # one row of cells at a time, because rasters are large
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
