"""Square patches of a wanted resolution: from which level, and how they are read."""

from __future__ import annotations

import cv2
import numpy as np

from h2g.errors import SlideError
from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.fast_patches import plan_fast_patches, read_fast_patch
from h2g.slides.info import SlideInfo
from h2g.slides.plan import PatchPlan
from h2g.slides.slide import Slide


def plan_patches(info: SlideInfo, settings: PatchSettings) -> PatchPlan:
    """By rule ``mpp``, a level within the tolerance is read as it is, else the next finer one is
    resampled; the rules of FAST are :mod:`h2g.slides.fast_patches`.

    Raises:
        SlideError: every level is coarser than the wanted um/px, or the slide has no resolution.
    """
    if settings.rule != "mpp":
        return plan_fast_patches(info, settings)
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
    step_level0 = read_px * info.levels[level].downsample
    return PatchPlan(
        level=level,
        read_px=read_px,
        size_px=settings.size_px,
        mpp=step_level0 * info.known_mpp / settings.size_px,
        step_level0=step_level0,
        downsample=info.levels[level].downsample,
    )


def _source_px(size_px: int, factor: float) -> int:
    """``size_px * factor``, moved to a whole factor when that is within 1 %: averaging whole
    pixels is several times as fast."""
    whole = round(factor)
    return size_px * whole if abs(whole / factor - 1) <= 0.01 else round(size_px * factor)


def read_patch(slide: Slide, plan: PatchPlan, xy_level0: tuple[int, int]) -> np.ndarray:
    """(size_px, size_px, 3) uint8; white beyond the slide; SlideError when it cannot be read."""
    if plan.is_fast:
        return read_fast_patch(slide, plan, xy_level0)
    patch = slide.read_level(
        level=plan.level, xy_level0=xy_level0, size_px=(plan.read_px, plan.read_px)
    )
    if plan.read_px == plan.size_px:
        return patch
    return cv2.resize(patch, (plan.size_px, plan.size_px), interpolation=cv2.INTER_AREA)
