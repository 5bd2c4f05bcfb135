"""How a slide's patches are cut: a grid of squares, each read with a margin that gives context.

A plan is made once for each slide and says everything that reading needs. Its kinds differ in how
they choose a level, read a patch and test its tissue (h2g.slides.mpp_patches, fast_patches).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from h2g.slides.slide import Slide
from h2g.slides.tissue import TissueMask


@dataclass(frozen=True)
class PatchPlan(ABC):
    """How a slide's patches are read. Cells start at level-0 (0, 0) and cover the field.

    Attributes:
        level: the level they are read from.
        read_px: side of what is read there; equals ``size_px`` when nothing is resampled.
        size_px: side of the patch.
        margin_px: on each side of the patch, what only gives context to its cell.
        mpp: um/px that the patch really has.
        step_level0: side of a cell in level-0 pixels: the patch without its margins.
        downsample: of the level.
        rows, cols: of the grid.
        field_level0: (width, height) of the slide.
    """

    level: int
    read_px: int
    size_px: int
    mpp: float
    step_level0: float
    downsample: float
    rows: int
    cols: int
    field_level0: tuple[int, int]
    margin_px: int = 0

    @property
    def step_px(self) -> int:
        """Side of a cell in pixels of the patch."""
        return self.size_px - 2 * self.margin_px

    @property
    def pixel_level0(self) -> float:
        """Side of a pixel of the patch in level-0 pixels."""
        return self.step_level0 / self.step_px

    @property
    def margin_level0(self) -> float:
        return self.margin_px * self.pixel_level0

    @abstractmethod
    def xy_level0(self, row: int, col: int) -> tuple[int, int]:
        """Where the patch of a cell starts, margin included: on a pixel of the level that it is
        read from."""

    @abstractmethod
    def read(self, slide: Slide, xy_level0: tuple[int, int]) -> np.ndarray:
        """(size_px, size_px, 3) uint8; white beyond the slide.

        Args:
            xy_level0: where the patch starts, on the grid or off it.
        Raises:
            SlideError: it cannot be read.
        """

    @abstractmethod
    def tissue_cells(self, tissue: TissueMask, min_tissue: float) -> np.ndarray:
        """(rows, cols) bool: the cells that hold enough tissue.

        Args:
            min_tissue: share of the cell.
        """

    def read_cell(self, slide: Slide, cell: np.ndarray) -> np.ndarray:
        """(size_px, size_px, 3) uint8, the patch of one (row, column)."""
        return self.read(slide, self.xy_level0(int(cell[0]), int(cell[1])))
