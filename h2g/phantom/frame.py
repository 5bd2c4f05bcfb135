"""The frame of a slide: its pixels, and the cells of the plan over them."""

from __future__ import annotations

from dataclasses import dataclass

CELL_UM = 8.0


@dataclass(frozen=True)
class Frame:
    """A slide's field; a cell of the plan is ``cell_px`` level-0 pixels, about CELL_UM.

    Attributes:
        size_px: (width, height) of level 0.
    """

    size_px: tuple[int, int]
    mpp: float
    cell_px: int

    @classmethod
    def of(cls, size_px: tuple[int, int], mpp: float) -> Frame:
        return cls(size_px, mpp, max(1, round(CELL_UM / mpp)))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the plan; the last row and column may extend beyond the slide."""
        width, height = self.size_px
        return -(-height // self.cell_px), -(-width // self.cell_px)

    @property
    def cell_um(self) -> float:
        return self.cell_px * self.mpp

    @property
    def cell_mm2(self) -> float:
        return (self.cell_um / 1000) ** 2

    def cells(self, um: float) -> float:
        """Converts a length in um to cells."""
        return um / self.cell_um
