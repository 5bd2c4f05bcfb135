"""How a slide's patches are read: the outcome of any rule (h2g.recipes.preprocessing)."""

from __future__ import annotations

from dataclasses import dataclass

from h2g.recipes.preprocessing import PatchRule


@dataclass(frozen=True)
class PatchPlan:
    """How a slide's patches are read.

    Attributes:
        level: the level they are read from.
        read_px: side of what is read there; equals ``size_px`` when nothing is resampled.
        size_px: side of the patch.
        mpp: um/px that the patch really has.
        step_level0: side of the patch in level-0 pixels.
        downsample: of the level.
        rule: that made the plan; what follows is for the rules of FAST alone.
        factor: pixels of the level per pixel of the patch.
        level_width: of the level, in its pixels.
        level_height: likewise.
        cols: columns of the grid.
        rows: likewise.
        spacing_mm: mm per level-0 pixel, along x and y.
    """

    level: int
    read_px: int
    size_px: int
    mpp: float
    step_level0: float
    downsample: float
    rule: PatchRule = "mpp"
    factor: float = 1.0
    level_width: int = 0
    level_height: int = 0
    cols: int = 0
    rows: int = 0
    spacing_mm: tuple[float, float] = (0.0, 0.0)

    @property
    def is_fast(self) -> bool:
        """Whether patches are cut as FAST cuts them."""
        return self.rule != "mpp"
