"""How many um a level-0 pixel spans, and where that was found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

# Above this a resolution tag is the print default of an image program, not a microscope's:
# 72, 96 and 300 dots an inch are 353, 265 and 85 um/px.
LARGEST_TAG_MPP = 50.0
UM_PER_UNIT = {"inch": 25_400.0, "centimeter": 10_000.0}
# For this format OpenSlide's mpp are the resolution tags, nothing a scanner wrote.
GENERIC_TIFF = "generic-tiff"


@dataclass(frozen=True)
class Resolution:
    """um/px of level 0 (None when nothing tells it), its source, and what is odd about it."""

    mpp: float | None
    source: str
    problems: tuple[str, ...] = ()


def find_resolution(properties: Mapping[str, str], given: float | None = None) -> Resolution:
    """The first of: the given um/px, the slide's own, objective power, TIFF resolution tags.

    Args:
        properties: OpenSlide's properties, ``tiff.XResolution`` and its like among them.
        given: um/px of level 0 from the command line or the cohort; positive.
    """
    problems: list[str] = []
    is_generic = properties.get("openslide.vendor") == GENERIC_TIFF
    own = None if is_generic else _slide_mpp(properties, problems)
    power = objective_power(properties)
    tags = _tag_mpp(properties, problems)
    candidates = (
        (own, "slide"),
        (10 / power if power else None, "objective power"),
        (tags, "TIFF resolution tags"),
    )
    found = next(((mpp, source) for mpp, source in candidates if mpp), None)
    if given is not None:
        if found and abs(found[0] / given - 1) > 0.1:
            problems.append(f"{given:g} um/px were given, {found[1]} says {found[0]:.4g}")
        return Resolution(given, "given", tuple(problems))
    if found is None:
        problems.append("no um/px; pass --mpp, e.g. --mpp 0.25")
        return Resolution(None, "none", tuple(problems))
    return Resolution(*found, tuple(problems))


def objective_power(properties: Mapping[str, str]) -> float | None:
    """The objective's magnification, e.g. 40.0."""
    return _positive(properties.get("openslide.objective-power"))


def _slide_mpp(properties: Mapping[str, str], problems: list[str]) -> float | None:
    sides = [_positive(properties.get(f"openslide.mpp-{axis}")) for axis in "xy"]
    return _mean_of_sides(sides, "um/px", problems)


def _tag_mpp(properties: Mapping[str, str], problems: list[str]) -> float | None:
    unit = UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", "").lower())
    dots = [_positive(properties.get(f"tiff.{axis}Resolution")) for axis in "XY"]
    if unit is None:
        return None
    sides = [unit / value if value else None for value in dots]
    mpp = _mean_of_sides(sides, "TIFF resolution tags", problems)
    if mpp and mpp > LARGEST_TAG_MPP:
        problems.append(
            f"TIFF resolution tags of {25_400 / mpp:.0f} dots an inch ({mpp:.0f} um/px) are an "
            "image program's default; not used"
        )
        return None
    return mpp


def _mean_of_sides(sides: list[float | None], what: str, problems: list[str]) -> float | None:
    values = [value for value in sides if value]
    if not values:
        return None
    if max(values) > 1.01 * min(values):
        problems.append(f"{what} differ: {values[0]:.4g} in x, {values[-1]:.4g} in y; mean used")
    return sum(values) / len(values)


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value > 0 and math.isfinite(value) else None
