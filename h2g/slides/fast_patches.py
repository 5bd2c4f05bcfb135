"""Patches as FAST's PatchGenerator cuts them: from which level, where, and which hold tissue.

A model for FAST is trained on the patches that it meets there. The rules are those of FAST 4.15.1,
found by comparing what it cuts from slides of odd sizes; tests compare them again.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from h2g.errors import SlideError
from h2g.recipes.recipe import PatchSettings
from h2g.slides.info import SlideInfo
from h2g.slides.plan import PatchPlan
from h2g.slides.slide import Slide

WHITE = 255
# Products of sizes and factors that are whole numbers may come out just below.
EDGE = 1e-6
# Resized pixels are cut off to whole numbers, those that rounding left just below one not.
CUT = 1e-4


def plan_fast_patches(info: SlideInfo, settings: PatchSettings) -> PatchPlan:
    """The level that has the wanted magnification by the slide's objective, else a finer one,
    resampled by um/px.

    Raises:
        SlideError: every level is coarser than the wanted um/px, or the slide has no resolution.
    """
    level, factor = _level_by_objective(info, settings.mpp), 1.0
    if level is None:
        level, factor = _level_by_mpp(info, settings)
    downsample = round(_scale(info, level))
    step_level0 = settings.size_px * factor * downsample
    return PatchPlan(
        level=level,
        read_px=int(settings.size_px * factor + EDGE),
        size_px=settings.size_px,
        mpp=step_level0 * info.known_mpp / settings.size_px,
        step_level0=step_level0,
        downsample=downsample,
        rule="fast",
        factor=factor,
        level_width=info.levels[level].size_px[0],
        level_height=info.levels[level].size_px[1],
    )


def field_px(plan: PatchPlan) -> tuple[int, int]:
    """(width, height) of the slide in patch pixels; patches beyond it are padded."""
    return round(plan.level_width / plan.factor), round(plan.level_height / plan.factor)


def fast_patch_counts(plan: PatchPlan) -> tuple[int, int]:
    """(columns, rows) of the grid."""
    width, height = field_px(plan)
    return math.ceil(width / plan.size_px), math.ceil(height / plan.size_px)


def fast_origin_level0(plan: PatchPlan, number: int) -> int:
    """Where the patch of a column or row starts."""
    return math.floor(number * plan.size_px * plan.factor + EDGE) * round(plan.downsample)


def read_fast_patch(slide: Slide, plan: PatchPlan, xy_level0: tuple[int, int]) -> np.ndarray:
    """(size_px, size_px, 3) uint8; what lies beyond the slide is white."""
    width, height = (
        min(plan.read_px, _left_of(plan, start, level_px))
        for start, level_px in zip(xy_level0, (plan.level_width, plan.level_height), strict=True)
    )
    patch = slide.read_level(level=plan.level, xy_level0=xy_level0, size_px=(width, height))
    if (width, height) != (plan.read_px, plan.read_px):
        inside, patch = patch, np.full((plan.read_px, plan.read_px, 3), WHITE, np.uint8)
        patch[:height, :width] = inside
    if plan.read_px == plan.size_px:
        return patch
    size_px = (plan.size_px, plan.size_px)
    resized = cv2.resize(patch.astype(np.float32), size_px, interpolation=cv2.INTER_LINEAR)
    return (resized + CUT).astype(np.uint8)


def fast_tissue_cells(
    plan: PatchPlan,
    mask: np.ndarray,
    *,
    field_width_level0: int,
    slide_mpp: float,
    min_tissue: float,
) -> np.ndarray:
    """Which cells hold at least ``min_tissue`` tissue, counted in whole pixels of the mask.

    Args:
        mask: (h, w) bool, the coarsest level.
    Returns:
        (rows, columns) bool.
    """
    cols, rows = fast_patch_counts(plan)
    width, height = field_px(plan)
    to_mask = _PixelsOfMask(plan, mask.shape[1], field_width_level0, slide_mpp)
    left, right = to_mask.spans(cols, width)
    top, bottom = to_mask.spans(rows, height)
    sizes = np.outer(bottom - top, right - left)
    integral = cv2.integral(mask.astype(np.uint8))
    left, right = (np.minimum(edges, mask.shape[1]) for edges in (left, right))
    top, bottom = (np.minimum(edges, mask.shape[0]) for edges in (top, bottom))
    in_rows = integral[bottom] - integral[top]
    counts = in_rows[:, right] - in_rows[:, left]
    return counts >= min_tissue * sizes


def _left_of(plan: PatchPlan, start_level0: int, level_px: int) -> int:
    """Whole pixels of the level from a patch's start to the end, one at least."""
    step_px = plan.size_px * plan.factor
    number = round(start_level0 / plan.downsample / step_px)
    return max(1, math.floor(level_px - number * step_px + EDGE))


class _PixelsOfMask:
    """From pixels of the level to pixels of the mask, in the single precision that FAST does it in:
    without it, one column or row of a large slide is tested one pixel off."""

    def __init__(self, plan: PatchPlan, mask_width: int, field_width: int, mpp: float) -> None:
        width = np.float32(field_width)
        self._plan = plan
        self._level_scale = width / np.float32(plan.level_width)
        self._spacing = np.float32(mpp) / np.float32(1000)
        self._mask_spacing = self._spacing * (width / np.float32(mask_width))

    def spans(self, count: int, field_px: int) -> tuple[np.ndarray, np.ndarray]:
        """First pixel and the one after the last, of each of ``count`` cells."""
        starts = np.arange(count) * self._plan.size_px
        sides = np.minimum(self._plan.size_px, field_px - starts)
        first = self._of_level(np.floor(starts * self._plan.factor + EDGE))
        size = self._of_level(np.floor(sides * self._plan.factor + EDGE))
        return first, first + np.maximum(size, 1)

    def _of_level(self, px: np.ndarray) -> np.ndarray:
        physical = px.astype(np.float32) * self._level_scale * self._spacing
        return np.floor(physical / self._mask_spacing).astype(int)


def _scale(info: SlideInfo, level: int) -> float:
    return info.field_level0[0] / info.levels[level].size_px[0]


def _level_by_objective(info: SlideInfo, mpp: float) -> int | None:
    if info.objective_power is None:
        return None
    wanted = 10 / mpp
    for level in range(len(info.levels)):
        if math.isclose(info.objective_power / round(_scale(info, level)), wanted, rel_tol=1e-6):
            return level
    return None


def _level_by_mpp(info: SlideInfo, settings: PatchSettings) -> tuple[int, float]:
    """The level, and its pixels a patch pixel."""
    factors = [
        settings.mpp / (info.known_mpp * _scale(info, level)) for level in range(len(info.levels))
    ]
    level = max((number for number, factor in enumerate(factors) if factor > 1 - EDGE), default=0)
    if abs(factors[level] - 1) < settings.tolerance:
        return level, 1.0
    if factors[level] < 1:
        raise SlideError(
            f"{info.path.name}: its finest level has {info.known_mpp:.4g} um/px, too coarse for "
            f"patches at {settings.mpp:g} um/px."
        )
    return level, factors[level]
