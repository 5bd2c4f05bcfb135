"""The whole field of a slide as one small image, read block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from h2g.errors import SlideError
from h2g.recipes.preprocessing import CoarsestLevel, LowResolutionSettings, WindowSettings
from h2g.slides.fast_levels import fast_level_count, first_pixel
from h2g.slides.frame import Frame
from h2g.slides.info import SlideInfo
from h2g.slides.slide import Slide

# Side of the block that is decoded at once, a multiple of every usual tile.
BLOCK_PX = 2048
# A coarsest level with a longer side is reduced by a whole factor. The coarsest level of a slide
# without pyramid is the slide itself.
LARGEST_PLANE_PX = 8192
# Levels this close to the wanted um/px are not resampled.
NEAR = 0.1
# Tolerance for rounding of floats where pixels meet; 1e-6 of a pixel at 1e9.
EDGE = 1e-6


@dataclass(frozen=True)
class WindowImage:
    """The image of the whole field that a refinement network sees in windows.

    Attributes:
        rgb: (h, w, 3) uint8, at the um/px of the windows.
    """

    rgb: np.ndarray
    settings: WindowSettings

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)."""
        return self.rgb.shape[1], self.rgb.shape[0]


@dataclass(frozen=True)
class Plane:
    """An image of the whole field.

    Pixel (i, j) is centred on level-0 ((i + 0.5) * width / w, (j + 0.5) * height / h).

    Attributes:
        rgb: (h, w, 3) uint8.
        frame: coordinates of the slide.
        windows: what a refinement network sees in its place; None if it sees this image.
    """

    rgb: np.ndarray
    frame: Frame
    windows: WindowImage | None = None

    @property
    def mpp(self) -> float:
        """um/px of the image, the mean of both axes."""
        height, width = self.rgb.shape[:2]
        return sum(self.frame.pixel_um((width, height))) / 2


def read_plane(slide: Slide, mpp: float | None, *, coarsest: CoarsestLevel = "coarsest") -> Plane:
    """The whole field at about ``mpp`` um/px; None takes the coarsest level without resampling.

    A level within 10 % is not resampled. Otherwise the next finer level is averaged over areas. A
    slide that is coarser everywhere is read at level 0, because nothing is magnified.

    Args:
        coarsest: rule that names the coarsest level; ``fast-4.9`` reads it as FAST 4.9 does.
    Raises:
        SlideError: a part cannot be read.
    """
    if mpp is None:
        level = _coarsest_level(slide.info, coarsest)
        size_px = _reduced(slide.info.levels[level].size_px, LARGEST_PLANE_PX)
        return _plane(slide, level, size_px, first=_first_pixel(level, coarsest))
    return _plane(slide, *_source(slide.info, mpp))


def _source(info: SlideInfo, mpp: float) -> tuple[int, tuple[int, int]]:
    """The level to read at about ``mpp`` um/px, and (width, height) of the result."""
    ratios = [info.level_mpp(level) / mpp for level in range(len(info.levels))]
    nearest = min(range(len(ratios)), key=lambda level: abs(ratios[level] - 1))
    if abs(ratios[nearest] - 1) <= NEAR:
        return nearest, info.levels[nearest].size_px
    level = max((lv for lv, ratio in enumerate(ratios) if ratio < 1), default=0)
    shrink = min(1.0, info.known_mpp / mpp)
    width, height = (max(1, round(side * shrink)) for side in info.field_level0)
    return level, (width, height)


def low_resolution_size(info: SlideInfo, settings: LowResolutionSettings) -> tuple[int, int]:
    """(width, height) of the image that :func:`read_low_resolution` returns."""
    return _reduced(info.levels[_low_level(info, settings)].size_px, settings.max_side_px)


def read_low_resolution(slide: Slide, settings: LowResolutionSettings) -> Plane:
    """The image of the slide that results are drawn on, and that the refinement network sees.

    Raises:
        SlideError: a part cannot be read, or windows ask for a finer or larger image than there is.
    """
    level = _low_level(slide.info, settings)
    size_px = low_resolution_size(slide.info, settings)
    plane = _plane(slide, level, size_px, first=_first_pixel(level, settings.level))
    if settings.windows is None:
        return plane
    return replace(plane, windows=read_window_image(slide, settings.windows))


def read_window_image(slide: Slide, windows: WindowSettings) -> WindowImage:
    """The image of the slide at the um/px of the windows; see read_low_resolution."""
    info = slide.info
    if info.known_mpp > windows.mpp * (1 + NEAR):
        raise SlideError(
            f"{info.path.name}: its finest level has {info.known_mpp:g} um/px, but windows of "
            f"{windows.side_mm:g} mm and {windows.side_px} px need {windows.mpp:g} um/px. Train "
            "with a larger refinement.window_mm or a smaller refinement.input_px."
        )
    level, size_px = _source(info, windows.mpp)
    if max(size_px) > LARGEST_PLANE_PX:
        raise SlideError(
            f"{info.path.name}: at the {windows.mpp:g} um/px of the windows it has "
            f"{size_px[0]} x {size_px[1]} px, and {LARGEST_PLANE_PX} px per side is the limit. "
            "Train with a larger refinement.window_mm or a smaller refinement.input_px."
        )
    return WindowImage(_plane(slide, level, size_px).rgb, windows)


def _coarsest_level(info: SlideInfo, coarsest: CoarsestLevel) -> int:
    return (fast_level_count(info) if coarsest == "fast-4.9" else len(info.levels)) - 1


def _first_pixel(level: int, rule: str) -> int:
    return first_pixel(level) if rule == "fast-4.9" else 0


def _low_level(info: SlideInfo, settings: LowResolutionSettings) -> int:
    if settings.level != "at-least":
        return _coarsest_level(info, settings.level)
    large = (lv for lv, v in enumerate(info.levels) if min(v.size_px) >= settings.min_side_px)
    return max(large, default=0)


def _reduced(size_px: tuple[int, int], largest_px: int) -> tuple[int, int]:
    factor = math.ceil(max(size_px) / largest_px)
    return max(1, round(size_px[0] / factor)), max(1, round(size_px[1] / factor))


def _plane(slide: Slide, level: int, size_px: tuple[int, int], *, first: int = 0) -> Plane:
    """A level as a plane: unchanged from pixel ``first`` on, or averaged to another size."""
    info = slide.info
    if size_px == info.levels[level].size_px:
        rgb = np.empty((size_px[1], size_px[0], 3), np.uint8)
        for y in range(0, size_px[1], BLOCK_PX):
            for x in range(0, size_px[0], BLOCK_PX):
                block = _read_block(slide, level, x, y, first=first)
                rgb[y : y + BLOCK_PX, x : x + BLOCK_PX] = block
    else:
        rgb = _area_mean(slide, level, size_px)
    return Plane(rgb, info.frame)


def _area_mean(slide: Slide, level: int, size_px: tuple[int, int]) -> np.ndarray:
    """The level averaged over the area of each pixel of ``size_px``.

    A block adds its covered share of a pixel to that pixel, so block borders are invisible. Only
    the sums of one band of blocks are held at a time. The next band may complete the last row.
    """
    width, height = slide.info.levels[level].size_px
    rgb = np.empty((size_px[1], size_px[0], 3), np.uint8)
    carried_row = np.zeros((size_px[0], 3))
    for y in range(0, height, BLOCK_PX):
        rows = min(BLOCK_PX, height - y)
        first, last = _cells(y, rows, size_px[1] / height)
        sums = np.zeros((last - first, size_px[0], 3))
        for x in range(0, width, BLOCK_PX):
            block = _read_block(slide, level, x, y)
            left, right = _cells(x, block.shape[1], size_px[0] / width)
            integral = cv2.integral(block)  # exact: 2048 * 2048 * 255 is less than 2**31
            bands = _between_cells(integral, y, size_px[1] / height)
            part = _between_cells(bands.swapaxes(0, 1), x, size_px[0] / width)
            sums[:, left:right] += part.swapaxes(0, 1)
        sums[0] += carried_row
        rgb[first:last] = np.rint(sums)
        ends_inside = (y + rows) * size_px[1] / height < last - EDGE
        carried_row = sums[-1] if ends_inside else np.zeros_like(carried_row)
    return rgb


def _read_block(slide: Slide, level: int, x: int, y: int, *, first: int = 0) -> np.ndarray:
    width, height = slide.info.levels[level].size_px
    downsample = slide.info.levels[level].downsample
    return slide.read_level(
        level=level,
        xy_level0=(round((x + first) * downsample), round((y + first) * downsample)),
        size_px=(min(BLOCK_PX, width - x), min(BLOCK_PX, height - y)),
    )


def _cells(start: int, count: int, shrink: float) -> tuple[int, int]:
    """Pixels touched by ``count`` pixels from ``start`` on, on an axis scaled by ``shrink``.

    Returns the first pixel, and the one after the last.
    """
    return math.floor(start * shrink + EDGE), math.ceil((start + count) * shrink - EDGE)


def _between_cells(integral: np.ndarray, start: int, shrink: float) -> np.ndarray:
    """Growth of an integral over rows ``start``, ``start + 1``, ... in each cell of ``_cells``.

    The growth is a share of the cell. Between pixels the integral grows linearly.
    """
    count = len(integral) - 1
    first, last = _cells(start, count, shrink)
    edges = np.clip(np.arange(first, last + 1) / shrink - start, 0, count)
    whole = np.minimum(edges.astype(int), count - 1)
    part = (edges - whole)[:, None, None]
    at_edges = integral[whole] + part * (integral[whole + 1] - integral[whole])
    return np.diff(at_edges, axis=0) * shrink
