"""Labels of the cells of a slide's patch grid, from the annotated regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from h2g.annotations.raster import Drawing, drawing
from h2g.annotations.regions import AnnotatedRegions
from h2g.slides.reading import PatchPlan

DISCARDED = -1
CELL_PX = 32  # raster pixels along a cell's side, which resolve a share to about 1 in 1,000
BAND_PX = 64_000_000  # raster pixels drawn at once


def class_shares(
    plan: PatchPlan, annotated: AnnotatedRegions, class_names: Sequence[str]
) -> np.ndarray:
    """Share of every class in every cell, (rows, cols, C - 1) float32 without background.

    The regions are drawn over the whole grid, some rows of cells at a time. Each cell has a whole
    number of raster pixels, so a share is a simple mean.
    """
    step, size_px = plan.step_level0, (plan.cols * CELL_PX, plan.rows * CELL_PX)
    regions = drawing(
        annotated,
        class_names,
        field_level0=(plan.cols * step, plan.rows * step),
        size_px=size_px,
    )
    shares = np.zeros((plan.rows, plan.cols, len(class_names) - 1), dtype=np.float32)
    band = max(1, BAND_PX // (CELL_PX * size_px[0]))
    for row in range(0, plan.rows, band):
        rows = min(band, plan.rows - row)
        shares[row : row + rows] = _band_shares(regions, row, rows, shares.shape[2])
    return shares


def label_cells(shares: np.ndarray, min_class: float) -> np.ndarray:
    """Labels of cells, (rows, cols) int8.

    A cell has the class with the largest share if that share is above ``min_class``. It is
    background (0) if no class has any share, and otherwise DISCARDED.

    Args:
        shares: (rows, cols, C - 1), without background.
    Source: Pedersen et al. 2022, section 2.2.
    """
    largest = shares.max(axis=2)
    labels = np.where(largest > min_class, shares.argmax(axis=2) + 1, DISCARDED)
    return np.where(largest == 0, 0, labels).astype(np.int8)


def _band_shares(regions: Drawing, row: int, rows: int, classes: int) -> np.ndarray:
    labels = regions.rows(row * CELL_PX, (row + rows) * CELL_PX)
    cells = labels.reshape(rows, CELL_PX, -1, CELL_PX)
    return np.stack([(cells == label).mean(axis=(1, 3)) for label in range(1, classes + 1)], axis=2)
