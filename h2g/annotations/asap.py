"""ASAP's XML annotations, in level-0 pixels of the slide's whole field."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import shapely

from h2g.annotations.outlines import UNCLASSIFIED, Outline, number, polygon, regions_of
from h2g.annotations.regions import AnnotatedRegions, areas, without
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame
from h2g.texts import same_text

# Groups whose outlines are cut out of all others: the convention of ASAP's users, and CAMELYON16's
# name. A recipe that lists one of them overrides this.
EXCLUSIONS = ("exclusion", "_2")
WITHOUT_AREA = ("Dot", "PointSet", "Measurement")


def read_asap(
    root: ElementTree.Element, path: Path, settings: AnnotationSettings, frame: Frame
) -> AnnotatedRegions:
    """The annotations of a parsed file; the group, or a group around it, names the class.

    A spline is read as the polygon of its points. ASAP's origin is the corner of the whole field.
    """
    parents = {group.get("Name", ""): group.get("PartOfGroup", "") for group in root.iter("Group")}
    outlines = []
    for annotation in root.iter("Annotation"):
        names = _names(annotation.get("PartOfGroup", ""), parents)
        outlines.append(Outline(names, _shape(annotation, path)))
    listed = {*settings.class_of_name, *(same_text(name) for name in settings.ignored)}
    exclusions = {*EXCLUSIONS} - listed
    holes = [o.geometry for o in outlines if _is_one_of(o.names, exclusions)]
    drawn = [o for o in outlines if not _is_one_of(o.names, exclusions)]
    annotated = regions_of(drawn, settings, source=path, field_level0=frame.field_level0)
    return without(annotated, [areas(hole) for hole in holes])


def _names(group: str, parents: dict[str, str]) -> tuple[str, ...]:
    names: list[str] = []
    while group and group != "None" and group not in names:
        names.append(group)
        group = parents.get(group, "")
    return tuple(names) or (UNCLASSIFIED,)


def _is_one_of(names: tuple[str, ...], groups: set[str]) -> bool:
    return any(same_text(name) in groups for name in names)


def _shape(annotation: ElementTree.Element, path: Path) -> shapely.Polygon | None:
    if annotation.get("Type") in WITHOUT_AREA:
        return None
    try:
        # Points without Order come in the order of the file.
        points = sorted(
            (
                number(point.get("Order", str(place))),
                number(point.attrib["X"]),
                number(point.attrib["Y"]),
            )
            for place, point in enumerate(annotation.iter("Coordinate"))
        )
    except (KeyError, ValueError) as error:
        name = annotation.get("Name", "without name")
        raise AnnotationError(
            f"{path}: the annotation '{name}' has a point whose Order, X or Y is missing or "
            f"not a number ({error}). Save it from ASAP again."
        ) from error
    if not all(math.isfinite(value) for point in points for value in point):
        raise AnnotationError(f"{path}: a point's X or Y is not a finite number.")
    return polygon([(x, y) for _, x, y in points])
