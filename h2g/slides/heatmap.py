"""The heatmap of a slide: class probabilities on a grid of cells, with position and scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from h2g.slides.frame import Frame

if TYPE_CHECKING:
    from h2g.slides.patch_plan import PatchPlan


@dataclass(frozen=True)
class Heatmap:
    """Softmax on a grid of cells that starts at level-0 (0, 0) and covers whole patches.

    Each patch gives s x s cells; s is 1 for a classifier.

    Attributes:
        values: (rows, cols, C) float32, softmax with background first; all 0 where no patch was
            read.
        step_level0: side of a cell in level-0 pixels.
        frame: coordinates of the slide; the grid covers its whole field.
        classified: (rows, cols) bool, cells that the network has classified; the others are
            estimated from their neighbours. None if every cell with tissue is classified.
    """

    values: np.ndarray
    step_level0: float
    frame: Frame
    classified: np.ndarray | None = None

    def of_patch(self, row: int, col: int, plan: PatchPlan) -> np.ndarray:
        """The cells of one patch, (s, s, C).

        Args:
            row, col: position of the patch in the plan's grid.
        """
        s = self.values.shape[0] // plan.rows
        return self.values[row * s : (row + 1) * s, col * s : (col + 1) * s]

    @property
    def mpp(self) -> float:
        """um per cell."""
        return self.step_level0 * self.frame.mpp


def draw_heatmap(heatmap: Heatmap, size_px: tuple[int, int]) -> np.ndarray:
    """Draws the heatmap over the slide's whole field; a pixel has the value of its cell.

    A pixel is placed by its level-0 coordinates. The grid is never stretched.

    Args:
        size_px: (width, height) of the image of the slide's field.
    Returns:
        (height, width, C) float32.
    """
    width, height = size_px
    field_width, field_height = heatmap.frame.field_level0
    rows, cols = heatmap.values.shape[:2]
    col = ((np.arange(width) + 0.5) * field_width / width / heatmap.step_level0).astype(int)
    row = ((np.arange(height) + 0.5) * field_height / height / heatmap.step_level0).astype(int)
    return heatmap.values[np.minimum(row, rows - 1)][:, np.minimum(col, cols - 1)]
