"""QuPath's GeoJSON, read and written.

QuPath shows a slide without the empty margin that ``openslide.bounds-*`` cut off, so its (0, 0)
is the corner of those bounds: they are added on reading and taken off on writing.
"""

from __future__ import annotations

import gzip
import json
import logging
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shapely

from h2g.annotations.colours import class_colour
from h2g.annotations.outlines import UNCLASSIFIED, Outline, polygon, regions_of
from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.errors import AnnotationError
from h2g.files import replacing
from h2g.recipes.annotation import AnnotationSettings

log = logging.getLogger(__name__)

GZIP_MAGIC = b"\x1f\x8b"
DECIMALS = 3  # of a level-0 pixel, in written files


def read_geojson(
    path: Path,
    settings: AnnotationSettings,
    *,
    field_level0: tuple[int, int],
    bounds_level0: tuple[int, int, int, int],
) -> AnnotatedRegions:
    """The annotations of a GeoJSON file, gzipped or not.

    Taken: a FeatureCollection, a list of Features, one Feature or one geometry. Objects that
    QuPath calls cell, detection, tile or TMA core are not annotations and are passed over; an
    annotation without a class has the name "unclassified".
    """
    features = list(_features(_load(path), path))
    annotations = [feature for feature in features if _object_type(feature) == "annotation"]
    if len(annotations) < len(features):
        passed = len(features) - len(annotations)
        log.warning("%s: %d objects are not annotations: passed over.", path.name, passed)
    outlines = []
    for number, feature in enumerate(annotations, start=1):
        try:
            outlines.append(Outline(_names(feature), _geometry(feature.get("geometry"))))
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise AnnotationError(
                f"{path}: annotation {number} is not valid GeoJSON ({error}). Export the slide's "
                "annotations from QuPath again: File, Export objects as GeoJSON."
            ) from error
    return regions_of(
        outlines, settings, source=path, field_level0=field_level0, shift_level0=bounds_level0[:2]
    )


def write_geojson(
    annotated: AnnotatedRegions,
    path: Path,
    *,
    class_names: tuple[str, ...],
    bounds_level0: tuple[int, int, int, int],
) -> None:
    """Writes the regions as a FeatureCollection of annotations that QuPath opens in place.

    Args:
        class_names: background first; a class's place gives its colour.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"
        for region in annotated.regions:
            colour = class_colour(class_names.index(region.class_name))
            file.write(separator + json.dumps(_feature(region, colour, bounds_level0[:2])))
            separator = ",\n"
        file.write("\n]}\n")


def _load(path: Path) -> Any:
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
        return json.loads(content.decode("utf-8-sig"))
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise AnnotationError(f"{path}: the gzip file is damaged ({error}).") from error
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            f"{path}: not JSON ({error}). Annotations are GeoJSON as QuPath exports it."
        ) from error


def _features(document: Any, path: Path) -> Iterator[dict[str, Any]]:
    """Every Feature of a document, whichever of GeoJSON's wrappings it has."""
    if isinstance(document, list):
        for member in document:
            yield from _features(member, path)
        return
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        yield from _features(document["features"], path)
    elif kind == "Feature":
        yield document
    elif isinstance(kind, str) and ("coordinates" in document or "geometries" in document):
        yield {"type": "Feature", "geometry": document}
    else:
        raise AnnotationError(
            f"{path}: JSON, but not GeoJSON: no FeatureCollection, Feature or geometry. "
            "Export the slide's annotations from QuPath: File, Export objects as GeoJSON."
        )


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _object_type(feature: dict[str, Any]) -> str:
    properties = _properties(feature)
    # QuPath up to 0.2 writes object_type, or the kind as the feature's id.
    kind = properties.get("objectType") or properties.get("object_type") or feature.get("id")
    kind = str(kind or "annotation").lower().removeprefix("path").removesuffix("object")
    others = ("cell", "detection", "tile", "tma", "root")
    return next((other for other in others if kind.startswith(other)), "annotation")


def _names(feature: dict[str, Any]) -> tuple[str, ...]:
    """The class, then the classes it is derived from: "a: b: c", "a: b", "a"."""
    classification = _properties(feature).get("classification")
    if isinstance(classification, str):
        classification = {"name": classification}
    if not classification:
        return (UNCLASSIFIED,)
    # QuPath writes a derived class as "names" from 0.4, as one "name" with colons before.
    name = ": ".join(classification.get("names") or ()) or classification.get("name")
    if not name:
        return (UNCLASSIFIED,)
    parts = str(name).split(":")
    return tuple(":".join(parts[:count]).strip() for count in range(len(parts), 0, -1))


def _geometry(geometry: dict[str, Any] | None) -> shapely.Geometry | None:
    """The areas of a GeoJSON geometry; points and lines have none."""
    if geometry is None:
        return None
    kind = geometry["type"]
    if kind == "Polygon":
        return _polygon(geometry["coordinates"])
    if kind == "MultiPolygon":
        found = [_polygon(rings) for rings in geometry["coordinates"]]
        return shapely.MultiPolygon([part for part in found if part is not None])
    if kind == "GeometryCollection":
        members = [_geometry(member) for member in geometry["geometries"]]
        return shapely.GeometryCollection([part for part in members if part is not None])
    if kind in ("Point", "MultiPoint", "LineString", "MultiLineString"):
        return None
    raise ValueError(f"unknown geometry '{kind}'")


def _polygon(rings: list[list[list[float]]]) -> shapely.Polygon | None:
    if not rings:
        return None
    shell, *holes = [[_point(point) for point in ring] for ring in rings]
    return polygon(shell, holes)


def _point(point: list[float]) -> tuple[float, float]:
    x, y = float(point[0]), float(point[1])
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"a point at {x}, {y}")
    return x, y


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
