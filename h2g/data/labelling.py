"""Labels of the cells of a slide's patch grid, from the annotated regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from h2g.annotations.raster import UNKNOWN, drawing
from h2g.annotations.regions import AnnotatedRegions
from h2g.recipes.annotation import LabelSettings
from h2g.slides.reading import PatchPlan

DISCARDED = -1
CELL_PX = 32  # raster pixels along a cell's side, which resolve a share to about 1 in 1,000
BAND_PX = 64_000_000  # raster pixels drawn at once


@dataclass(frozen=True)
class CellTruth:
    """What the annotation says of each cell of a patch grid.

    Attributes:
        shares: share of every class, (rows, cols, C - 1) float32 without background.
        is_annotated: whether the whole cell lies in the annotated part, (rows, cols) bool.
    """

    shares: np.ndarray
    is_annotated: np.ndarray


def cell_truth(
    plan: PatchPlan, annotated: AnnotatedRegions, class_names: Sequence[str]
) -> CellTruth:
    """The truth of every cell.

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
    is_annotated = np.ones((plan.rows, plan.cols), dtype=bool)
    band = max(1, BAND_PX // (CELL_PX * size_px[0]))
    for row in range(0, plan.rows, band):
        end = min(row + band, plan.rows)
        labels = regions.rows(row * CELL_PX, end * CELL_PX)
        cells = labels.reshape(end - row, CELL_PX, -1, CELL_PX)
        for number in range(shares.shape[2]):
            shares[row:end, :, number] = (cells == number + 1).mean(axis=(1, 3))
        is_annotated[row:end] = (cells != UNKNOWN).all(axis=(1, 3))
    return CellTruth(shares, is_annotated)


def label_cells(truth: CellTruth, settings: LabelSettings) -> np.ndarray:
    """Labels of cells by the settings' rule, (rows, cols) int8.

    The rule ``class`` gives a cell the class with the largest share if that share is above
    ``min_class``. It is background (0) if no class has any share, and otherwise DISCARDED. So is a
    cell that is not annotated as a whole, by any rule.

    Source: ``class``: Pedersen et al. 2022, section 2.2; ``share``: HI-Net (2023), section 3.1.
    """
    largest, everything = truth.shares.max(axis=2), truth.shares.sum(axis=2)
    least = settings.min_class if settings.rule == "class" else 0.0
    labels = np.where(largest > least, truth.shares.argmax(axis=2) + 1, DISCARDED)
    labels = np.where(largest == 0, 0, labels)
    if settings.rule == "share":
        smallest, most = settings.share_range
        labels = np.where((everything < smallest) | (everything > most), DISCARDED, labels)
    return np.where(truth.is_annotated, labels, DISCARDED).astype(np.int8)
