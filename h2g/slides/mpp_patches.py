"""Square patches at a wanted um/px, read from the nearest level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.cell_shares import ROUNDING
from h2g.slides.info import SlideInfo
from h2g.slides.patch_plan import PatchPlan
from h2g.slides.slide import Slide
from h2g.slides.source_level import source_level
from h2g.slides.tissue import TissueMask


@dataclass(frozen=True)
class MppPatches(PatchPlan):
    """Patches by the rule ``mpp``, which keeps cells with more tissue than the share."""

    def xy_level0(self, row: int, col: int) -> tuple[int, int]:
        step = self.read_px * self.step_px / self.size_px
        margin = self.read_px * self.margin_px / self.size_px
        # Rounded in pixels of the level first, because a patch starts on one.
        x, y = (round(number * step) - round(margin) for number in (col, row))
        return round(x * self.downsample), round(y * self.downsample)

    def read(self, slide: Slide, xy_level0: tuple[int, int]) -> np.ndarray:
        return slide.read_square(
            level=self.level, xy_level0=xy_level0, read_px=self.read_px, size_px=self.size_px
        )

    def tissue_cells(self, tissue: TissueMask, min_tissue: float) -> np.ndarray:
        return self.cell_shares(tissue.mask) > min_tissue


def plan_mpp_patches(info: SlideInfo, settings: PatchSettings) -> MppPatches:
    """The plan for a slide; patches are read directly from a level within the tolerance.

    Raises:
        SlideError: every level is coarser than the wanted um/px, or the slide has no resolution.
    """
    level, read_px = source_level(info, settings)
    side_level0 = read_px * info.levels[level].downsample
    step_level0 = side_level0 * settings.step_px / settings.size_px
    width, height = info.field_level0
    cols, rows = (math.ceil(side / step_level0 - ROUNDING) for side in (width, height))
    return MppPatches(
        level=level,
        read_px=read_px,
        size_px=settings.size_px,
        mpp=side_level0 * info.known_mpp / settings.size_px,
        step_level0=step_level0,
        downsample=info.levels[level].downsample,
        rows=rows,
        cols=cols,
        field_level0=info.field_level0,
        margin_px=settings.margin_px,
    )
