"""Plans of a slide's patches: a grid of squares, each read with a margin that gives context.

A plan is made once per slide and holds everything that reading needs. Its kinds differ in how they
choose a level, read a patch and test its tissue (h2g.slides.mpp_patches, h2g.slides.fast_patches).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from h2g.slides.cell_shares import cell_shares
from h2g.slides.slide import Slide
from h2g.slides.tissue import TissueMask


@dataclass(frozen=True)
class PatchPlan(ABC):
    """How to read a slide's patches. Cells start at level-0 (0, 0) and cover the field.

    Attributes:
        level: the level that patches are read from.
        read_px: side of the area read there; equals ``size_px`` without resampling.
        size_px: side of the patch.
        margin_px: margin on each side of the patch, which only gives context to its cell.
        mpp: actual um/px of the patch.
        step_level0: side of a cell in level-0 pixels: the patch without its margins.
        downsample: downsample of the level.
        rows, cols: size of the grid.
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
        """Start of a cell's patch with its margin; it falls on a pixel of the plan's level."""

    @abstractmethod
    def read(self, slide: Slide, xy_level0: tuple[int, int]) -> np.ndarray:
        """The patch at a position, (size_px, size_px, 3) uint8; white beyond the slide.

        Args:
            xy_level0: start of the patch, on the grid or off it.
        Raises:
            SlideError: the patch cannot be read.
        """

    @abstractmethod
    def tissue_cells(self, tissue: TissueMask, min_tissue: float) -> np.ndarray:
        """The cells that hold enough tissue, (rows, cols) bool.

        Args:
            min_tissue: share of the cell.
        """

    def cell_shares(self, raster: np.ndarray) -> np.ndarray:
        """Mean of a raster of the whole field, (h, w), in each cell: (rows, cols) float32."""
        return cell_shares(
            raster,
            grid=(self.rows, self.cols),
            step_level0=self.step_level0,
            field_level0=self.field_level0,
        )

    def read_cell(self, slide: Slide, cell: np.ndarray) -> np.ndarray:
        """The patch of one (row, column), (size_px, size_px, 3) uint8."""
        return self.read(slide, self.xy_level0(int(cell[0]), int(cell[1])))
