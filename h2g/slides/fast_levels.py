"""The levels of a slide that FAST 4.9 knows, and the pixels that it reads from them.

Measured with 4.9.2 on slides of odd sizes. Tests repeat the measurement.
"""

from __future__ import annotations

from h2g.slides.info import Level, SlideInfo

# FAST 4.9 ignores the first level with fewer bytes, at four bytes per pixel, and all after it.
LEAST_BYTES = 5 * 1024**2
BYTES_A_PIXEL = 4


def fast_level_count(info: SlideInfo) -> int:
    """Number of levels that FAST 4.9 knows, from level 0 on; at least one."""
    for number, level in enumerate(info.levels):
        if is_too_small(level):
            return max(1, number)
    return len(info.levels)


def is_too_small(level: Level) -> bool:
    """Whether FAST 4.9 ignores a level."""
    width, height = level.size_px
    return width * height * BYTES_A_PIXEL < LEAST_BYTES


def first_pixel(level: int) -> int:
    """First pixel that FAST 4.9 reads, on both axes, when asked for a level from pixel 0 on.

    On Linux and macOS it skips the first row and column of every level but level 0, to avoid black
    edges. On Windows it does not.
    """
    return 1 if level else 0


def misplaced_level(info: SlideInfo, level: int) -> bool:
    """Whether FAST 4.9 reads a level in wrong places.

    It truncates the downsample to a whole number. A level whose size was rounded up is then read
    as if it were larger than it is.
    """
    downsample = info.field_level0[0] / info.levels[level].size_px[0]
    return int(downsample) != round(downsample)
