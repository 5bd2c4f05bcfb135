"""Aperio ImageScope's XML annotations, in level-0 pixels of the slide's whole field.

The file has one layer per class, <Annotation Name="...">, and its outlines as <Region>.
"""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import shapely
from shapely import affinity

from h2g.annotations.outlines import UNCLASSIFIED, Outline, number, polygon, regions_of
from h2g.annotations.regions import AnnotatedRegions, areas, without
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame

# Values of a region's Type; others, such as rulers and arrows, have no area.
RECTANGLE, ELLIPSE = "1", "2"
OUTLINES = {"0": "freehand", RECTANGLE: "rectangle", ELLIPSE: "ellipse"}
ELLIPSE_SIDES = 64  # per quarter


def read_imagescope(
    root: ElementTree.Element, path: Path, settings: AnnotationSettings, frame: Frame
) -> AnnotatedRegions:
    """The annotations of a parsed file; the layer, or else the region's text, names the class.

    Negative regions are cut out of the outlines of their layer. The origin is the corner of the
    whole field.

    Raises:
        AnnotationError: a vertex is not numeric, or a name is unknown to the recipe.
    """
    outlines, holes = [], []
    for layer in root.iter("Annotation"):
        for region in layer.iter("Region"):
            shape = _shape(region, path)
            if region.get("NegativeROA") == "1":
                holes.append(areas(shape))
            else:
                outlines.append(Outline(_names(layer, region), shape))
    annotated = regions_of(outlines, settings, source=path, field_level0=frame.field_level0)
    return without(annotated, holes)


def _names(layer: ElementTree.Element, region: ElementTree.Element) -> tuple[str, ...]:
    """The region's text, the layer's name, and the texts of the layer's attributes."""
    texts = [region.get("Text"), layer.get("Name")]
    for attribute in layer.findall("./Attributes/Attribute"):
        name = attribute.get("Name")
        texts += [None if name == "Description" else name, attribute.get("Value")]
    found = tuple(text.strip() for text in texts if text and text.strip())
    return found or (UNCLASSIFIED,)


def _shape(region: ElementTree.Element, path: Path) -> shapely.Geometry | None:
    kind = region.get("Type", "0")
    if kind not in OUTLINES:
        return None
    try:
        points = [(number(v.attrib["X"]), number(v.attrib["Y"])) for v in region.iter("Vertex")]
    except (KeyError, ValueError) as error:
        raise AnnotationError(
            f"{path}: region {region.get('Id', '?')} has a vertex without numeric X and Y "
            f"({error}). Save it from ImageScope again."
        ) from error
    if not all(math.isfinite(value) for point in points for value in point):
        raise AnnotationError(f"{path}: a vertex's X or Y is not a finite number.")
    if kind == ELLIPSE and len(points) >= 2:
        return _ellipse(points)
    if kind == RECTANGLE and len(points) == 2:
        return shapely.box(*shapely.MultiPoint(points).bounds)
    return polygon(points)


def _ellipse(points: list[tuple[float, float]]) -> shapely.Polygon:
    """The ellipse in the box around its stored corners."""
    left, top, right, bottom = shapely.MultiPoint(points).bounds
    circle = shapely.Point(0, 0).buffer(1, quad_segs=ELLIPSE_SIDES)
    scaled = affinity.scale(circle, (right - left) / 2, (bottom - top) / 2)
    return affinity.translate(scaled, (left + right) / 2, (top + bottom) / 2)
