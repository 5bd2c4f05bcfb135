"""Properties of a slide: its frame, its levels, its resolution and the source of that."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from h2g.errors import SlideError
from h2g.slides.frame import Frame

logger = logging.getLogger(__name__)

# A slide without pyramid and with a longer side is slow to read at low resolution.
LARGE_SIDE_PX = 16_384
# A coarsest level with shorter sides is of no use.
SMALL_LEVEL_PX = 64
# A resolution tag above this is an image program's default for printing, not a microscope's:
# 72, 96 and 300 dots per inch are 353, 265 and 85 um/px.
LARGEST_TAG_MPP = 50.0
# um/px of level 0 that a microscope can have. Values in mm or nm, and resolutions that a converter
# wrote per mm in place of per cm, lie outside.
LEAST_MPP, MOST_MPP = 0.05, 20.0
# The slide's um/px may differ from that of its objective by this factor.
OBJECTIVE_TOLERANCE = 1.2
UM_PER_UNIT = {"inch": 25_400.0, "centimeter": 10_000.0}
# The properties of um/px in OME-XML, which OpenSlide does not read.
OME_MPP = "h2g.ome-mpp-"
# OpenSlide takes the mpp of this format from the resolution tags, not from a scanner.
GENERIC_TIFF = "generic-tiff"


@dataclass(frozen=True)
class Level:
    """A level of the pyramid; ``downsample`` is level-0 pixels per pixel of the level."""

    size_px: tuple[int, int]
    downsample: float


@dataclass(frozen=True)
class SlideInfo:
    """A slide's frame, levels and resolution.

    Attributes:
        field_level0: (width, height) of level 0; all positions in h2g are in this frame.
        mpp: um/px of level 0; None if unknown.
        mpp_xy: um/px of level 0 along x and y; ``mpp`` is their mean. None if ``mpp`` is.
        mpp_source: "given", "slide", "objective power", "OME-XML", "TIFF resolution tags" or
            "none".
        bounds_level0: (x, y, width, height) of the scanned part; the whole field if the slide
            does not name one. QuPath's frame starts at its x, y.
        tile_px: (width, height) of level 0's tiles; None if unknown.
        problems: phrases for the user, one per problem.
    """

    path: Path
    vendor: str
    field_level0: tuple[int, int]
    mpp: float | None
    mpp_xy: tuple[float, float] | None
    mpp_source: str
    objective_power: float | None
    levels: tuple[Level, ...]
    bounds_level0: tuple[int, int, int, int]
    tile_px: tuple[int, int] | None
    problems: tuple[str, ...]

    def level_mpp(self, level: int) -> float:
        """um/px of a level; SlideError if the slide has no resolution."""
        return self.known_mpp * self.levels[level].downsample

    @property
    def frame(self) -> Frame:
        """The slide's coordinates; SlideError if the slide has no resolution."""
        return Frame(self.field_level0, self.known_mpp, self.bounds_level0)

    @property
    def known_mpp(self) -> float:
        """um/px of level 0; SlideError if the slide has no resolution."""
        if self.mpp is None:
            ignored = "; ".join(each for each in self.problems if each.endswith("; ignored"))
            raise SlideError(
                f"{self.path.name}: no um/px in the slide's properties"
                f"{f' ({ignored})' if ignored else ''}. Pass --mpp, e.g. --mpp 0.25, or fill the "
                "cohort table's mpp column."
            )
        return self.mpp


def slide_info(
    path: Path,
    properties: Mapping[str, str],
    levels: Sequence[Level],
    *,
    mpp: float | None = None,
    problems: Sequence[str] = (),
) -> SlideInfo:
    """The SlideInfo for OpenSlide's properties and levels.

    Args:
        properties: OpenSlide's, and um/px of OME-XML as ``h2g.ome-mpp-x`` and ``h2g.ome-mpp-y``.
        mpp: um/px that replaces the slide's own.
        problems: those that the properties do not show.
    """
    field = levels[0].size_px
    resolution = find_resolution(properties, mpp)
    problems = [*resolution.problems, *problems]
    if len(levels) == 1 and max(field) > LARGE_SIDE_PX:
        problems.append("no pyramid; reading the whole slide is slow")
    if len(levels) > 1 and max(levels[-1].size_px) < SMALL_LEVEL_PX:
        width, height = levels[-1].size_px
        problems.append(
            f"the coarsest level has only {width} x {height} pixels, which profiles of FAST find "
            "tissue on"
        )
    return SlideInfo(
        path=path,
        vendor=properties.get("openslide.vendor", "unknown"),
        field_level0=field,
        mpp=resolution.mpp,
        mpp_xy=_mpp_xy(properties, resolution),
        mpp_source=resolution.source,
        objective_power=objective_power(properties),
        levels=tuple(levels),
        bounds_level0=_bounds(properties, field),
        tile_px=_tile(properties),
        problems=tuple(problems),
    )


def warn_of_problems(info: SlideInfo, *, others: Sequence[str] = ()) -> None:
    """Logs the slide's problems, and ``others`` found later; call it once per slide of a job."""
    for problem in (*info.problems, *others):
        logger.warning("%s: %s.", info.path.name, problem)


def _mpp_xy(properties: Mapping[str, str], resolution: Resolution) -> tuple[float, float] | None:
    if resolution.mpp is None:
        return None
    key = OME_MPP if resolution.source == "OME-XML" else "openslide.mpp-"
    mpp_xy = [_positive(properties.get(f"{key}{axis}")) for axis in "xy"]
    if (
        resolution.source in ("slide", "OME-XML", "TIFF resolution tags")
        and mpp_xy[0]
        and mpp_xy[1]
    ):
        return mpp_xy[0], mpp_xy[1]
    return resolution.mpp, resolution.mpp


def _bounds(properties: Mapping[str, str], field: tuple[int, int]) -> tuple[int, int, int, int]:
    x, y = (int(properties.get(f"openslide.bounds-{axis}", 0)) for axis in "xy")
    width = int(properties.get("openslide.bounds-width", field[0] - x))
    height = int(properties.get("openslide.bounds-height", field[1] - y))
    return x, y, width, height


def _tile(properties: Mapping[str, str]) -> tuple[int, int] | None:
    sides = [properties.get(f"openslide.level[0].tile-{side}") for side in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None


@dataclass(frozen=True)
class Resolution:
    """um/px of level 0 (None if unknown), its source, and problems with it."""

    mpp: float | None
    source: str
    problems: tuple[str, ...] = ()


def find_resolution(properties: Mapping[str, str], given: float | None = None) -> Resolution:
    """The first known of: the given um/px, the slide's own, objective power, OME-XML, TIFF tags.

    Args:
        properties: OpenSlide's properties, including ``tiff.XResolution`` and similar ones.
        given: um/px of level 0 from the command line or the cohort; positive.

    A value that no microscope has is ignored. A contradiction between the slide's um/px and its
    objective, or between OME-XML and the tags, is a problem.
    """
    problems: list[str] = []
    is_generic = properties.get("openslide.vendor") == GENERIC_TIFF
    power = objective_power(properties)
    slide_mpp = None if is_generic else _mpp_of(properties, "openslide.mpp-", problems)
    slide_mpp = _possible(slide_mpp, "the slide's resolution", problems)
    objective_mpp = _possible(10 / power if power else None, "the objective's", problems)
    ome_mpp = _possible(_mpp_of(properties, OME_MPP, problems), "OME-XML's", problems)
    tags = _possible(_tag_mpp(properties, problems), "TIFF resolution tags of", problems)
    candidates = (
        (slide_mpp, "slide"),
        (objective_mpp, "objective power"),
        (ome_mpp, "OME-XML"),
        (tags, "TIFF resolution tags"),
    )
    found = next(((mpp, source) for mpp, source in candidates if mpp), None)
    if slide_mpp and objective_mpp and power:
        factor = max(slide_mpp / objective_mpp, objective_mpp / slide_mpp)
        if factor > OBJECTIVE_TOLERANCE:
            problems.append(
                f"{slide_mpp:.4g} um/px contradicts the {power:g}x objective ({objective_mpp:.4g} "
                "um/px); check it, and pass --mpp if it is wrong"
            )
    if ome_mpp and tags and max(ome_mpp / tags, tags / ome_mpp) > OBJECTIVE_TOLERANCE:
        problems.append(f"OME-XML's {ome_mpp:.4g} um/px contradicts the TIFF tags' {tags:.4g}")
    if given is not None:
        if found and abs(found[0] / given - 1) > 0.1:
            problems.append(f"{given:g} um/px given, but {found[1]} says {found[0]:.4g}")
        if not LEAST_MPP < given <= MOST_MPP:
            problems.append(f"{given:g} um/px given, which no microscope has")
        return Resolution(given, "given", tuple(problems))
    if found is None:
        problems.append("no um/px; pass --mpp, e.g. --mpp 0.25")
        return Resolution(None, "none", tuple(problems))
    return Resolution(*found, tuple(problems))


def _possible(mpp: float | None, what: str, problems: list[str]) -> float | None:
    """The um/px if a microscope can have it; otherwise None, with a problem."""
    if mpp is None or LEAST_MPP < mpp <= MOST_MPP:
        return mpp
    problems.append(
        f"{what} {mpp:.4g} um/px cannot be true (microscopes have {LEAST_MPP:g} to {MOST_MPP:g}); "
        "ignored"
    )
    return None


def objective_power(properties: Mapping[str, str]) -> float | None:
    """Magnification of the objective, e.g. 40.0."""
    return _positive(properties.get("openslide.objective-power"))


def _mpp_of(properties: Mapping[str, str], key: str, problems: list[str]) -> float | None:
    sides = [_positive(properties.get(f"{key}{axis}")) for axis in "xy"]
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
            f"TIFF resolution tags of {25_400 / mpp:.0f} dots per inch ({mpp:.0f} um/px) are an "
            "image program's default; ignored"
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
