"""Annotated regions of a slide, independent of the file format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """All regions of a slide, possibly none, and the file that they were read from.

    Attributes:
        within: the annotated part of the slide, in the same pixels; None if that is all of it.
    """

    regions: tuple[Region, ...]
    source: Path
    within: shapely.Polygon | shapely.MultiPolygon | None = None

    def of_class(self, class_name: str) -> tuple[Region, ...]:
        return tuple(region for region in self.regions if region.class_name == class_name)


def without(annotated: AnnotatedRegions, holes: Sequence[shapely.Geometry]) -> AnnotatedRegions:
    """The regions with holes cut out of them."""
    if not holes:
        return annotated
    regions = cut_out(annotated.regions, shapely.union_all(holes))
    return replace(annotated, regions=tuple(regions))


def cut_out(regions: Sequence[Region], hole: shapely.Geometry) -> list[Region]:
    """The regions without the area of ``hole``; a region that loses all its area is left out."""
    if not regions:
        return []
    touched = shapely.intersects([region.geometry for region in regions], hole)
    kept = []
    for region, is_touched in zip(regions, touched, strict=True):
        geometry = areas(region.geometry.difference(hole)) if is_touched else region.geometry
        if not geometry.is_empty:
            kept.append(Region(geometry, region.class_name))
    return kept


def areas(geometry: shapely.Geometry | None) -> shapely.Polygon | shapely.MultiPolygon:
    """The valid, polygonal part of a geometry; an empty polygon if there is none.

    Self-crossing outlines keep every part that they enclose, such as both halves of an eight or
    the middle of a loop that crosses itself. That is what the annotator means.
    """
    if geometry is None:
        return shapely.Polygon()
    valid = shapely.make_valid(geometry, method="structure", keep_collapsed=False)
    parts = [part for part in _flat(valid) if isinstance(part, shapely.Polygon) and part.area > 0]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _flat(geometry: shapely.Geometry) -> list[shapely.Geometry]:
    if isinstance(geometry, shapely.geometry.base.BaseMultipartGeometry):
        return [part for member in geometry.geoms for part in _flat(member)]
    return [geometry]
