"""Square patches at a wanted um/px, read from the nearest level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from h2g.errors import SlideError
from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.cell_shares import ROUNDING, cell_shares
from h2g.slides.info import SlideInfo
from h2g.slides.patch_plan import PatchPlan
from h2g.slides.slide import Slide
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
        patch = slide.read_level(
            level=self.level, xy_level0=xy_level0, size_px=(self.read_px, self.read_px)
        )
        if self.read_px == self.size_px:
            return patch
        return cv2.resize(patch, (self.size_px, self.size_px), interpolation=cv2.INTER_AREA)

    def tissue_cells(self, tissue: TissueMask, min_tissue: float) -> np.ndarray:
        return cell_shares(self, tissue.mask) > min_tissue


def plan_mpp_patches(info: SlideInfo, settings: PatchSettings) -> MppPatches:
    """Reads a level within the tolerance directly, or else resamples the next finer level.

    Raises:
        SlideError: every level is coarser than the wanted um/px, or the slide has no resolution.
    """
    ratios = [info.level_mpp(level) / settings.mpp for level in range(len(info.levels))]
    nearest = min(range(len(ratios)), key=lambda level: abs(ratios[level] - 1))
    if abs(ratios[nearest] - 1) <= settings.tolerance + 1e-9:
        level, read_px = nearest, settings.size_px
    else:
        finer = [level for level, ratio in enumerate(ratios) if ratio < 1]
        if not finer:
            raise SlideError(
                f"{info.path.name}: its finest level has {info.level_mpp(0):.4g} um/px, too coarse "
                f"for patches at {settings.mpp:g} um/px."
            )
        level = max(finer, key=lambda level: ratios[level])
        read_px = _source_px(settings.size_px, 1 / ratios[level])
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


def _source_px(size_px: int, factor: float) -> int:
    """``size_px * factor``, rounded to a whole factor if that is within 1 %.

    Averaging whole pixels is several times faster.
    """
    whole = round(factor)
    return size_px * whole if abs(whole / factor - 1) <= 0.01 else round(size_px * factor)
