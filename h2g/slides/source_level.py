"""The level that square patches at a wanted um/px are read from, and how many of its pixels."""

from __future__ import annotations

from h2g.errors import SlideError
from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.info import SlideInfo


def source_level(info: SlideInfo, settings: PatchSettings) -> tuple[int, int]:
    """The nearest level if it is within the tolerance, or else the next finer level.

    Returns:
        The level, and the side of a patch in its pixels; ``size_px`` without resampling.
    Raises:
        SlideError: every level is coarser than the wanted um/px, or the slide has no resolution.
    """
    ratios = [info.level_mpp(level) / settings.mpp for level in range(len(info.levels))]
    nearest = min(range(len(ratios)), key=lambda level: abs(ratios[level] - 1))
    if abs(ratios[nearest] - 1) <= settings.tolerance + 1e-9:
        return nearest, settings.size_px
    finer = [level for level, ratio in enumerate(ratios) if ratio < 1]
    if not finer:
        raise SlideError(
            f"{info.path.name}: its finest level has {info.level_mpp(0):.4g} um/px, too coarse "
            f"for patches at {settings.mpp:g} um/px."
        )
    level = max(finer, key=lambda level: ratios[level])
    return level, _source_px(settings.size_px, 1 / ratios[level])


def _source_px(size_px: int, factor: float) -> int:
    """``size_px * factor``, rounded to a whole factor if that is within 1 %.

    Averaging whole pixels is several times faster.
    """
    whole = round(factor)
    return size_px * whole if abs(whole / factor - 1) <= 0.01 else round(size_px * factor)
