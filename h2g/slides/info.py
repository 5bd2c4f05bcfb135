"""What is known of a slide before a pixel is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from h2g.errors import SlideError
from h2g.slides.resolution import find_resolution, objective_power

# Beyond this a side of a slide without pyramid makes every look at the whole slide slow.
LARGE_SIDE_PX = 16_384


@dataclass(frozen=True)
class Level:
    """A level of the pyramid; ``downsample`` is level-0 pixels per pixel."""

    size_px: tuple[int, int]
    downsample: float


@dataclass(frozen=True)
class SlideInfo:
    """A slide's frame, levels and resolution.

    Attributes:
        field_level0: (width, height) of level 0; positions anywhere in h2g are in this frame.
        mpp: um/px of level 0, None when nothing tells it.
        mpp_source: "given", "slide", "objective power", "TIFF resolution tags" or "none".
        bounds_level0: (x, y, width, height) of the scanned part; the whole field when the slide
            names none. QuPath's frame starts at its x, y.
        tile_px: (width, height) of level 0's tiles, None when unknown.
        problems: one phrase each, for people.
    """

    path: Path
    vendor: str
    field_level0: tuple[int, int]
    mpp: float | None
    mpp_source: str
    objective_power: float | None
    levels: tuple[Level, ...]
    bounds_level0: tuple[int, int, int, int]
    tile_px: tuple[int, int] | None
    problems: tuple[str, ...]

    def level_mpp(self, level: int) -> float:
        """um/px of a level; SlideError when the slide has no resolution."""
        return self.known_mpp * self.levels[level].downsample

    @property
    def known_mpp(self) -> float:
        """um/px of level 0; SlideError when the slide has none."""
        if self.mpp is None:
            raise SlideError(
                f"{self.path.name}: no um/px in the slide's properties. Pass --mpp, e.g. "
                "--mpp 0.25, or fill the cohort table's mpp column."
            )
        return self.mpp


def slide_info(
    path: Path,
    properties: Mapping[str, str],
    levels: Sequence[Level],
    *,
    mpp: float | None = None,
) -> SlideInfo:
    """The SlideInfo that OpenSlide's properties and levels amount to; ``mpp`` overrides."""
    field = levels[0].size_px
    resolution = find_resolution(properties, mpp)
    problems = list(resolution.problems)
    if len(levels) == 1 and max(field) > LARGE_SIDE_PX:
        problems.append("no pyramid; reading the whole slide small is slow")
    return SlideInfo(
        path=path,
        vendor=properties.get("openslide.vendor", "unknown"),
        field_level0=field,
        mpp=resolution.mpp,
        mpp_source=resolution.source,
        objective_power=objective_power(properties),
        levels=tuple(levels),
        bounds_level0=_bounds(properties, field),
        tile_px=_tile(properties),
        problems=tuple(problems),
    )


def _bounds(properties: Mapping[str, str], field: tuple[int, int]) -> tuple[int, int, int, int]:
    x, y = (int(properties.get(f"openslide.bounds-{axis}", 0)) for axis in "xy")
    width = int(properties.get("openslide.bounds-width", field[0] - x))
    height = int(properties.get("openslide.bounds-height", field[1] - y))
    return x, y, width, height


def _tile(properties: Mapping[str, str]) -> tuple[int, int] | None:
    sides = [properties.get(f"openslide.level[0].tile-{side}") for side in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None
