"""The levels of a slide that FAST 4.9 knows, and what it reads of them.

Measured against 4.9.2 on slides of odd sizes; tests compare them again.
"""

from __future__ import annotations

from h2g.slides.info import Level, SlideInfo

# From the first level on that has less than this, as four bytes a pixel, no level exists for it.
LEAST_BYTES = 5 * 1024**2
BYTES_A_PIXEL = 4


def fast_level_count(info: SlideInfo) -> int:
    """How many levels FAST 4.9 knows, from level 0 on; one at least."""
    for number, level in enumerate(info.levels):
        if is_too_small(level):
            return max(1, number)
    return len(info.levels)


def is_too_small(level: Level) -> bool:
    """Whether a level does not exist for FAST 4.9."""
    width, height = level.size_px
    return width * height * BYTES_A_PIXEL < LEAST_BYTES


def first_pixel(level: int) -> int:
    """Where FAST 4.9 starts to read a level that it is asked for from pixel 0 on, on both axes.

    On Linux and macOS it leaves out the first row and column of every level but level 0, as a
    remedy against black edges; on Windows it does not.
    """
    return 1 if level else 0


def misplaced_level(info: SlideInfo, level: int) -> bool:
    """Whether FAST 4.9 reads a level in wrong places: it cuts the downsample off to a whole number,
    so a level whose size was rounded up is read as if it were larger than it is."""
    downsample = info.field_level0[0] / info.levels[level].size_px[0]
    return int(downsample) != round(downsample)
