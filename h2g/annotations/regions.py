"""Annotated regions of a slide, independent of the file format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import shapely


@dataclass(frozen=True)
class Region:
    """One outlined area of one class.

    Attributes:
        geometry: valid Polygon or MultiPolygon in level-0 pixels (x right, y down) of the slide's
            whole field, with ``openslide.bounds-*`` already added.
    """

    geometry: shapely.Polygon | shapely.MultiPolygon
    class_name: str


@dataclass(frozen=True)
class AnnotatedRegions:
    """All regions of a slide, possibly none, and the file that they were read from."""

    regions: tuple[Region, ...]
    source: Path

    def of_class(self, class_name: str) -> tuple[Region, ...]:
        return tuple(region for region in self.regions if region.class_name == class_name)
