"""Patches as FAST's PatchGenerator cuts them: their level, their positions and their tissue.

A model for FAST is trained on the patches that it meets there. The rules were found by comparing
the patches that FAST 4.9.2 and 4.15.1 cut from slides of odd sizes. Tests repeat the comparison.

- ``fast-4.9`` uses um/px alone. It reads the coarsest level that is not coarser than wanted, and
  resamples unless that level has exactly the wanted um/px. It ignores levels below 5 MiB, and skips
  the first row and column of every level but level 0 (h2g.slides.fast_levels).
- ``fast-4.15`` uses the objective. It reads a level of the wanted magnification without resampling,
  whatever its um/px. If there is none, it resamples by um/px, unless a level is within 10 %.

Both versions test tissue in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from h2g.errors import SlideError
from h2g.fast_versions import FastName
from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.fast_levels import fast_level_count, first_pixel
from h2g.slides.info import SlideInfo
from h2g.slides.patch_plan import PatchPlan
from h2g.slides.slide import Slide
from h2g.slides.tissue import TissueMask

WHITE = 255
# Tolerance for products of sizes and factors that are whole numbers, but rounded to just below.
EDGE = 1e-6
# Resized pixels are truncated. This keeps whole numbers whole that rounding left just below.
CUT = 1e-4
# Pixels along a cell's side in the grid that measures a slide, to crop FAST 4.9's heatmaps.
PIXELS_A_CELL = 32


@dataclass(frozen=True)
class FastPatches(PatchPlan):
    """Patches as a version of FAST cuts them; a cell with at least the share of tissue is kept.

    Attributes:
        fast_version: the version whose rules are followed.
        factor: pixels of the level per pixel of the patch.
        level_size_px: (width, height) of the level.
        spacing_mm: mm per level-0 pixel, along x and y.
    """

    fast_version: FastName = "4.9"
    factor: float = 1.0
    level_size_px: tuple[int, int] = (0, 0)
    spacing_mm: tuple[float, float] = (0.0, 0.0)

    def xy_level0(self, row: int, col: int) -> tuple[int, int]:
        return self._origin_level0(col), self._origin_level0(row)

    def read(self, slide: Slide, xy_level0: tuple[int, int]) -> np.ndarray:
        # The part of the patch before the slide's edge, and the end of its part on the slide.
        left, top = (max(0, -start // round(self.downsample)) for start in xy_level0)
        right, bottom = (
            min(self.read_px, self._px_to_end(start, level_px))
            for start, level_px in zip(xy_level0, self.level_size_px, strict=True)
        )
        xy_level0 = max(0, xy_level0[0]), max(0, xy_level0[1])
        if self.fast_version == "4.9":
            xy_level0 = self._without_first_pixel(xy_level0)
        size_px = (right - left, bottom - top)
        patch = slide.read_level(level=self.level, xy_level0=xy_level0, size_px=size_px)
        if size_px != (self.read_px, self.read_px):
            inside, patch = patch, np.full((self.read_px, self.read_px, 3), WHITE, np.uint8)
            patch[top:bottom, left:right] = inside
        if self.read_px == self.size_px:
            return patch
        size_px = (self.size_px, self.size_px)
        resized = cv2.resize(patch.astype(np.float32), size_px, interpolation=cv2.INTER_LINEAR)
        return (resized + CUT).astype(np.uint8)

    def tissue_cells(self, tissue: TissueMask, min_tissue: float) -> np.ndarray:
        """Cells with enough tissue, counted in whole pixels of the mask, the coarsest level."""
        mask, (level_width, level_height) = tissue.mask, self.level_size_px
        to_mask = _PixelsOfMask(self, mask.shape[1], self.field_level0[0])
        left, right = to_mask.spans(self.cols, level_width, axis=0)
        top, bottom = to_mask.spans(self.rows, level_height, axis=1)
        sizes = np.outer(bottom - top, right - left)
        integral = cv2.integral(mask.astype(np.uint8))
        left, right = (np.minimum(edges, mask.shape[1]) for edges in (left, right))
        top, bottom = (np.minimum(edges, mask.shape[0]) for edges in (top, bottom))
        in_rows = integral[bottom] - integral[top]
        counts = in_rows[:, right] - in_rows[:, left]
        kept = counts >= min_tissue * sizes
        if self.margin_px and self.fast_version == "4.15":
            # FAST 4.15 drops patches whose margin begins before the slide.
            kept[0], kept[:, 0] = False, False
        # Both versions drop patches that are little more than margins.
        if self._last_px(self.rows, level_height) < self.margin_px:
            kept[-1] = False
        if self._last_px(self.cols, level_width) < self.margin_px:
            kept[:, -1] = False
        return kept

    def _last_px(self, count: int, level_px: int) -> int:
        """Pixels of the slide in the last of ``count`` cells."""
        return _patch_pixels(level_px, self.factor) - (count - 1) * self.step_px

    def _origin_level0(self, number: int) -> int:
        """Start of the patch of a column or row; negative if its margin starts before the slide."""
        start = (number * self.step_px - self.margin_px) * self.factor
        # Negative numbers are truncated towards zero.
        return (math.floor(start + EDGE) if start >= 0 else math.ceil(start)) * round(
            self.downsample
        )

    def _px_to_end(self, start_level0: int, level_px: int) -> int:
        """Whole pixels of the level from a patch's start to the level's end, at least one."""
        step_px, margin_px = self.step_px * self.factor, self.margin_px * self.factor
        number = round((start_level0 / self.downsample + margin_px) / step_px)
        return max(1, math.floor(level_px - number * step_px + margin_px + EDGE))

    def _without_first_pixel(self, xy_level0: tuple[int, int]) -> tuple[int, int]:
        """The position that FAST 4.9 reads when asked for ``xy_level0``."""
        x, y = (start or first_pixel(self.level) * round(self.downsample) for start in xy_level0)
        return x, y


def plan_fast_patches(info: SlideInfo, settings: PatchSettings, version: FastName) -> FastPatches:
    """Chooses the level that patches are read from, and the number of cells.

    Raises:
        SlideError: every level is coarser than the wanted um/px, or the slide has no resolution.
    """
    is_4_9 = version == "4.9"
    level, factor = (_by_exact_mpp if is_4_9 else _by_objective)(info, settings)
    downsample = round(_scale(info, level))
    step_level0 = settings.step_px * factor * downsample
    width, height = info.levels[level].size_px
    if is_4_9 and not settings.margin_px:
        cols, rows = _cells_of_4_9(info, settings, level)
    else:
        cols, rows = (
            _cells_over(side, step_px=settings.step_px, factor=factor) for side in (width, height)
        )
    return FastPatches(
        level=level,
        read_px=int(settings.size_px * factor + EDGE),
        size_px=settings.size_px,
        mpp=step_level0 * info.known_mpp / settings.step_px,
        step_level0=step_level0,
        downsample=downsample,
        rows=rows,
        cols=cols,
        field_level0=info.field_level0,
        fast_version=version,
        factor=factor,
        level_size_px=(width, height),
        spacing_mm=_spacing_mm(info),
        margin_px=settings.margin_px,
    )


class _PixelsOfMask:
    """Converts pixels of the level to pixels of the mask, in single precision as FAST does.

    In double precision, one column or row of a large slide would be tested one pixel off. FAST
    divides a patch's start by the mask's spacing along x on both axes, but its size by the spacing
    of each axis.
    """

    def __init__(self, plan: FastPatches, mask_width: int, field_width: int) -> None:
        width = np.float32(field_width)
        self._plan = plan
        self._level_scale = width / np.float32(plan.level_size_px[0])
        self._mask_scale = width / np.float32(mask_width)

    def spans(self, count: int, level_px: int, *, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """First pixel, and the one after the last, of each of ``count`` cells along an axis."""
        starts = np.arange(count) * self._plan.step_px - self._plan.margin_px
        sides = np.minimum(self._plan.size_px, _patch_pixels(level_px, self._plan.factor) - starts)
        starts = np.maximum(starts, 0)
        along_axis, along_x = (np.float32(self._plan.spacing_mm[each]) for each in (axis, 0))
        first = self._of_level(starts, along_axis, along_x)
        size = self._of_level(sides, along_axis, along_axis)
        return first, first + np.maximum(size, 1)

    def _of_level(
        self, patch_px: np.ndarray, spacing: np.float32, mask_spacing: np.float32
    ) -> np.ndarray:
        px = np.floor(patch_px * self._plan.factor + EDGE)
        physical = px.astype(np.float32) * self._level_scale * spacing
        return np.floor(physical / (mask_spacing * self._mask_scale)).astype(int)


def _scale(info: SlideInfo, level: int) -> float:
    return info.field_level0[0] / info.levels[level].size_px[0]


def _patch_pixels(level_px: int, factor: float) -> int:
    """A side of the level in pixels of the patches; those beyond it are padded."""
    return round(level_px / factor)


def _cells_over(level_px: int, *, step_px: int, factor: float) -> int:
    return math.ceil(_patch_pixels(level_px, factor) / step_px)


# -- choice of the level: by the objective (4.15), or by um/px alone (4.9)


def _by_objective(info: SlideInfo, settings: PatchSettings) -> tuple[int, float]:
    """The level, and its pixels per pixel of the patch."""
    level = _level_of_magnification(info, 10 / settings.mpp)
    return _by_mpp(info, settings) if level is None else (level, 1.0)


def _level_of_magnification(info: SlideInfo, wanted: float) -> int | None:
    if info.objective_power is None:
        return None
    for level in range(len(info.levels)):
        if math.isclose(info.objective_power / round(_scale(info, level)), wanted, rel_tol=1e-6):
            return level
    return None


def _by_mpp(info: SlideInfo, settings: PatchSettings) -> tuple[int, float]:
    mpp_x = info.mpp_xy[0] if info.mpp_xy else info.known_mpp
    factors = [settings.mpp / (mpp_x * _scale(info, level)) for level in range(len(info.levels))]
    level = max((number for number, factor in enumerate(factors) if factor > 1 - EDGE), default=0)
    if abs(factors[level] - 1) < settings.tolerance:
        return level, 1.0
    if factors[level] < 1:
        raise _too_coarse(info, settings)
    return level, factors[level]


def _by_exact_mpp(info: SlideInfo, settings: PatchSettings) -> tuple[int, float]:
    """The level, and its pixels per pixel of the patch, by um/px alone.

    FAST compares in single precision, which decides whether a level has exactly the wanted um/px.
    """
    wanted = np.float32(0.00025) * (np.float32(40) / np.float32(10 / settings.mpp))
    spacing = np.float32(_spacing_mm(info)[0])
    width = np.float32(info.field_level0[0])
    factors = [
        float(wanted / (width / np.float32(info.levels[level].size_px[0]) * spacing))
        for level in range(fast_level_count(info))
    ]
    if factors[0] < 1:
        raise _too_coarse(info, settings)
    level = max(number for number, factor in enumerate(factors) if factor >= 1)
    return level, factors[level]


def _spacing_mm(info: SlideInfo) -> tuple[float, float]:
    """mm per level-0 pixel along x and y, in FAST's single precision."""
    x, y = info.mpp_xy or (info.known_mpp, info.known_mpp)
    return float(np.float32(x) / np.float32(1000)), float(np.float32(y) / np.float32(1000))


def _too_coarse(info: SlideInfo, settings: PatchSettings) -> SlideError:
    return SlideError(
        f"{info.path.name}: its finest level has {info.known_mpp:.4g} um/px, too coarse for "
        f"patches at {settings.mpp:g} um/px."
    )


# -- the grid of FAST 4.9


def _cells_of_4_9(info: SlideInfo, settings: PatchSettings, level: int) -> tuple[int, int]:
    """(columns, rows) of FAST 4.9's heatmap that its pipelines keep.

    When patches are resampled, FAST 4.9 makes a heatmap with one cell per patch of the level that
    they are read from, which is too large. The refinement graph crops it by the size of the tissue
    mask, resampled to ``PIXELS_A_CELL`` pixels per cell. This function counts in the same way.
    """
    count = fast_level_count(info)
    coarsest, fine = info.levels[count - 1].size_px, info.levels[level].size_px
    pixel_mm = np.float32(cell_pixel_mm(settings))
    downsample = np.float32(info.field_level0[0]) / np.float32(coarsest[0])
    sides = (
        math.floor(float(np.float32(spacing) * downsample / pixel_mm * np.float32(side)) + 0.5)
        for spacing, side in zip(_spacing_mm(info), coarsest, strict=True)
    )
    cells = [max(1, math.ceil(side / PIXELS_A_CELL)) for side in sides]
    largest = [math.ceil(side / settings.size_px) for side in fine]
    return min(cells[0], largest[0]), min(cells[1], largest[1])


def cell_pixel_mm(settings: PatchSettings) -> float:
    """Side, in mm, of the pixels that pipelines for FAST 4.9 resample the tissue mask to."""
    return float(f"{settings.mpp * settings.size_px / PIXELS_A_CELL / 1000:.9g}")
