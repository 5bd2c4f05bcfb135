"""Reads and writes QuPath's GeoJSON.

QuPath shows a slide without the empty margin outside ``openslide.bounds-*``, so its (0, 0) is the
corner of those bounds. The corner is added on reading and subtracted on writing.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from h2g.annotations.colours import class_colour
from h2g.annotations.outlines import UNCLASSIFIED, Outline, regions_of
from h2g.annotations.packed_files import read_packed
from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.errors import AnnotationError
from h2g.files import replacing
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame

logger = logging.getLogger(__name__)

# Errors that shapely raises for invalid geometry.
BROKEN = (TypeError, ValueError, LookupError, AttributeError, shapely.errors.ShapelyError)
# QuPath's kinds of objects by every name that its versions write; others are annotations.
OBJECT_TYPES = {
    spelling: kind
    for kind in ("annotation", "detection", "cell", "tile", "tma_core", "root")
    for spelling in (kind, f"path{kind}object", f"{kind.replace('_', '')}object")
}
SILENT = {"annotation", "root", "tma_core"}
DECIMALS = 3  # decimals of a level-0 pixel in written files


def read_geojson(
    path: Path,
    settings: AnnotationSettings,
    frame: Frame,
) -> AnnotatedRegions:
    """The annotations of a GeoJSON file, as it is or packed with gzip or ZIP.

    The file may hold a FeatureCollection, a list of Features, one Feature or one geometry. Children
    of an object are read too, after it. QuPath's cells, detections and tiles are skipped, and of
    TMA cores and the root only the children are read. An annotation without a class is named
    "unclassified".
    """
    features = list(_features(_load(path), path))
    annotations = [feature for feature in features if _object_type(feature) == "annotation"]
    skipped = Counter(kind for kind in map(_object_type, features) if kind not in SILENT)
    if skipped:
        counts = ", ".join(f"{count} of type {kind}" for kind, count in sorted(skipped.items()))
        logger.warning("%s: only annotations are read; skipped: %s.", path.name, counts)
    outlines = []
    for number, feature in enumerate(annotations, start=1):
        try:
            outlines.append(Outline(_names(feature), _geometry(feature.get("geometry"))))
        except BROKEN as error:
            raise AnnotationError(
                f"{path}: annotation {number} is not valid GeoJSON ({error}). Export the slide's "
                "annotations from QuPath again: File, Export objects as GeoJSON."
            ) from error
    return regions_of(
        outlines,
        settings,
        source=path,
        field_level0=frame.field_level0,
        shift_level0=frame.scanned_level0[:2],
    )


def write_geojson(
    annotated: AnnotatedRegions,
    path: Path,
    *,
    class_names: tuple[str, ...],
    frame: Frame,
) -> None:
    """Writes the regions as a FeatureCollection of annotations that QuPath opens in place.

    Args:
        class_names: background first; a class's position sets its colour.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"
        for region in annotated.regions:
            colour = class_colour(class_names.index(region.class_name))
            file.write(separator + json.dumps(_feature(region, colour, frame.scanned_level0[:2])))
            separator = ",\n"
        file.write("\n]}\n")


def _load(path: Path) -> Any:
    try:
        return json.loads(read_packed(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            f"{path}: not JSON ({error}). Export the annotations from QuPath as GeoJSON."
        ) from error


def _features(document: Any, path: Path) -> Iterator[dict[str, Any]]:
    """Every Feature of a document in any form that GeoJSON allows."""
    if isinstance(document, list):
        for member in document:
            yield from _features(member, path)
        return
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        yield from _features(document["features"], path)
    elif kind == "Feature":
        yield document
        for place in (_properties(document), document):
            if isinstance(place.get("childObjects"), list):
                yield from _features(place["childObjects"], path)
    elif isinstance(kind, str) and ("coordinates" in document or "geometries" in document):
        yield {"type": "Feature", "geometry": document}
    else:
        raise AnnotationError(
            f"{path}: not GeoJSON; it has no FeatureCollection, Feature or geometry. "
            "Export the slide's annotations from QuPath: File, Export objects as GeoJSON."
        )


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _object_type(feature: dict[str, Any]) -> str:
    properties = _properties(feature)
    # QuPath up to 0.2 writes object_type, or the kind as the feature's id.
    for value in (properties.get("objectType"), properties.get("object_type"), feature.get("id")):
        if isinstance(value, str) and (kind := OBJECT_TYPES.get(value.replace(" ", "_").lower())):
            return kind
    return "annotation"


def _names(feature: dict[str, Any]) -> tuple[str, ...]:
    """The class and then its parent classes: "a: b: c", "a: b", "a"."""
    classification = _properties(feature).get("classification")
    if isinstance(classification, str):
        classification = {"name": classification}
    if not classification:
        return (UNCLASSIFIED,)
    # QuPath 0.4 and later write a derived class as "names", earlier versions as "name" with colons.
    name = ": ".join(classification.get("names") or ()) or classification.get("name")
    if not name:
        return (UNCLASSIFIED,)
    parts = str(name).split(":")
    return tuple(":".join(parts[:count]).strip() for count in range(len(parts), 0, -1))


def _geometry(geometry: dict[str, Any] | None) -> shapely.Geometry | None:
    """A GeoJSON geometry in two dimensions, including points and lines; None if there is none."""
    if geometry is None:
        return None
    with np.errstate(invalid="ignore"):  # reported below
        flat = shapely.force_2d(shapely.geometry.shape(geometry))
    points = shapely.get_coordinates(flat)
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        x, y = points[~finite][0]
        raise ValueError(f"a point at {x}, {y}")
    return flat


def _feature(
    region: Region, colour: tuple[int, int, int], origin_level0: tuple[int, int]
) -> dict[str, Any]:
    moved = shapely.transform(region.geometry, lambda xy: (xy - origin_level0).round(DECIMALS))
    return {
        "type": "Feature",
        "geometry": shapely.geometry.mapping(moved),
        "properties": {
            "objectType": "annotation",
            "isLocked": False,
            "classification": {"name": region.class_name, "color": list(colour)},
        },
    }
