"""The patches that matter: those whose neighbours in the heatmap differ.

Every second row and column is classified first, then the centres between them, then the rest; of
the later ones only those whose known neighbours differ by more than a threshold. The others get the
mean of their neighbours. A lesion as small as a patch may lie between the patches that are
classified. Patches that are darker than their neighbours can therefore join the first pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Offsets of the neighbours that a later pass is decided by: diagonal ones for the centres, then
# those beside the rest.
NEIGHBOURS = (((-1, -1), (-1, 1), (1, -1), (1, 1)), ((-1, 0), (1, 0), (0, -1), (0, 1)))
# With fewer known neighbours, a patch is classified.
FEWEST_NEIGHBOURS = 2


@dataclass(frozen=True)
class Chosen:
    """One later pass.

    Attributes:
        cells: (n, 2) int, rows and columns to classify.
        estimated: (m, 2) int, those that get an estimate.
        values: (m, C) float32, the estimates.
    """

    cells: np.ndarray
    estimated: np.ndarray
    values: np.ndarray


def first_cells(
    cells: np.ndarray, red: np.ndarray | None = None, darker: float | None = None
) -> np.ndarray:
    """The cells of the first pass, (n, 2): those in even rows and columns, and the darker ones.

    Args:
        red, darker: see darker_cells; None adds no darker cells.
    """
    even = cells[(cells % 2 == 0).all(axis=1)]
    if red is None or darker is None:
        return even
    return np.unique(np.concatenate([even, darker_cells(cells, red, darker)]), axis=0)


def darker_cells(cells: np.ndarray, red: np.ndarray, darker: float) -> np.ndarray:
    """The cells that are darker than their eight neighbours, (n, 2).

    Red is where haematoxylin absorbs and eosin hardly does, so dense nuclei lower it.

    Args:
        cells: (N, 2) int, all cells with tissue; others are no neighbours.
        red: (rows, cols) float32, mean red of each cell, 0 to 255.
        darker: difference from the neighbours' mean above which a cell is darker.
    """
    has_tissue = np.zeros(red.shape, np.float32)
    has_tissue[tuple(cells.T)] = 1
    around = np.ones((3, 3), np.float32)
    around[1, 1] = 0
    sums, counts = (
        cv2.filter2D(values, -1, around, borderType=cv2.BORDER_CONSTANT)
        for values in (red * has_tissue, has_tissue)
    )
    below = sums / np.maximum(counts, 1) - red
    return cells[below[tuple(cells.T)] > darker]


def later_cells(
    cells: np.ndarray, lowest: np.ndarray, highest: np.ndarray, means: np.ndarray,
    known: np.ndarray, *, number: int, threshold: float,
) -> Chosen:  # fmt: skip
    """The choice of a later pass from what is known so far.

    Args:
        cells: (N, 2) int, all cells with tissue.
        lowest, highest, means: (rows, cols, C) float32: the smallest, largest and mean probability
            in each patch, which are equal where a patch has one cell.
        known: (rows, cols) bool, patches that have values.
        number: 0 for the centres, 1 for the rest.
        threshold: difference of a class's probability between neighbours above which a patch is
            classified.
    """
    is_odd = cells % 2 == 1
    wanted = cells[is_odd.all(axis=1)] if number == 0 else cells[is_odd.sum(axis=1) == 1]
    wanted = wanted[~known[wanted[:, 0], wanted[:, 1]]]
    low, high, mean, around = (
        _around(grid, wanted, number) for grid in (lowest, highest, means, known)
    )
    count = around.sum(axis=0)
    spread = np.where(around[..., None], high, -np.inf).max(axis=0) - np.where(
        around[..., None], low, np.inf
    ).min(axis=0)
    differs = spread.max(axis=-1) > threshold
    needed = differs | (count < FEWEST_NEIGHBOURS)
    sums = (mean * around[..., None]).sum(axis=0)
    estimates = sums[~needed] / count[~needed, None]
    return Chosen(wanted[needed], wanted[~needed], estimates.astype(np.float32))


def _around(grid: np.ndarray, cells: np.ndarray, number: int) -> np.ndarray:
    """The grid at the neighbours of each cell, (4, n, ...); zeros beyond the grid."""
    padded = np.pad(grid, [(1, 1), (1, 1), *[(0, 0)] * (grid.ndim - 2)])
    rows, cols = cells.T + 1
    return np.stack([padded[rows + down, cols + right] for down, right in NEIGHBOURS[number]])
