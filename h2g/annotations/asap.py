"""ASAP's XML annotations, in level-0 pixels of the slide's whole field."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from xml.etree import ElementTree

import shapely

from h2g.annotations.outlines import UNCLASSIFIED, Outline, areas, polygon, regions_of
from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame

logger = logging.getLogger(__name__)

# Groups whose outlines are cut out of all others: the convention of ASAP's users, and CAMELYON16's
# name. A recipe that lists one of them overrides this.
EXCLUSIONS = ("exclusion", "_2")
WITHOUT_AREA = ("Dot", "PointSet", "Measurement")


def read_asap(
    path: Path,
    settings: AnnotationSettings,
    frame: Frame,
) -> AnnotatedRegions:
    """The annotations of an ASAP file; the group, or a group around it, names the class.

    A spline is read as the polygon of its points. ASAP's origin is the corner of the whole field.
    """
    root = _root(path)
    parents = {group.get("Name", ""): group.get("PartOfGroup", "") for group in root.iter("Group")}
    outlines = []
    for annotation in root.iter("Annotation"):
        names = _names(annotation.get("PartOfGroup", ""), parents)
        outlines.append(Outline(names, _shape(annotation, path)))
    listed = {*settings.ignored, *(n for names in settings.classes.values() for n in names)}
    exclusions = {*EXCLUSIONS} - {name.casefold() for name in listed}
    holes = [o.geometry for o in outlines if _is_one_of(o.names, exclusions)]
    drawn = [o for o in outlines if not _is_one_of(o.names, exclusions)]
    annotated = regions_of(drawn, settings, source=path, field_level0=frame.field_level0)
    return _without(annotated, [areas(hole) for hole in holes])


def _root(path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise AnnotationError(f"{path}: not XML ({error}).") from error
    if root.tag != "ASAP_Annotations":
        raise AnnotationError(
            f"{path}: not ASAP's XML; the file begins with <{root.tag}>, not <ASAP_Annotations>. "
            "Open it in QuPath and export it as GeoJSON."
        )
    return root


def _names(group: str, parents: dict[str, str]) -> tuple[str, ...]:
    names: list[str] = []
    while group and group != "None" and group not in names:
        names.append(group)
        group = parents.get(group, "")
    return tuple(names) or (UNCLASSIFIED,)


def _is_one_of(names: tuple[str, ...], groups: set[str]) -> bool:
    return any(name.casefold() in groups for name in names)


def _shape(annotation: ElementTree.Element, path: Path) -> shapely.Polygon | None:
    if annotation.get("Type") in WITHOUT_AREA:
        return None
    try:
        points = sorted(
            (int(point.attrib["Order"]), float(point.attrib["X"]), float(point.attrib["Y"]))
            for point in annotation.iter("Coordinate")
        )
    except (KeyError, ValueError) as error:
        name = annotation.get("Name", "without name")
        raise AnnotationError(
            f"{path}: the annotation '{name}' has a point without numeric Order, X and Y "
            f"({error}). Save it from ASAP again."
        ) from error
    if not all(math.isfinite(value) for point in points for value in point):
        raise AnnotationError(f"{path}: a point's X or Y is not a finite number.")
    return polygon([(x, y) for _, x, y in points])


def _without(annotated: AnnotatedRegions, holes: list[shapely.Geometry]) -> AnnotatedRegions:
    if not holes:
        return annotated
    hole = shapely.union_all(holes)
    cut = [(areas(r.geometry.difference(hole)), r.class_name) for r in annotated.regions]
    kept = tuple(Region(shape, name) for shape, name in cut if not shape.is_empty)
    return AnnotatedRegions(kept, annotated.source)
