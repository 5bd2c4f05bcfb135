"""The pathologist's outlines as polygons, and their annotation file as QuPath exports it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import cv2
import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon, mapping

from h2g.phantom.frame import Frame

CLASS_NAME = "Tumour"
COLOUR = (200, 0, 0)


def outline_polygons(outline: np.ndarray, frame: Frame) -> MultiPolygon:
    """The outline in level-0 pixels, largest polygon first.

    Args:
        outline: (rows, cols) bool on the plan's cells.
    """
    # Twice as fine and smoothed, because a hand does not draw the steps of the cells.
    fine = cv2.resize(outline.astype(np.uint8) * 255, None, fx=2, fy=2)
    fine = (cv2.GaussianBlur(fine, (0, 0), 2.0) > 127).astype(np.uint8)
    contours, tree = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [contour[:, 0].astype(float) for contour in contours]
    polygons = []
    for number, ring in enumerate(rings):
        if tree[0][number][3] < 0 and len(ring) >= 4:
            holes = [rings[k] for k in range(len(rings)) if tree[0][k][3] == number]
            polygons.append(Polygon(ring, [hole for hole in holes if len(hole) >= 4]))
    half_cell = frame.cell_px / 2
    whole = shapely.union_all([polygon.buffer(0) for polygon in polygons])
    # Contours run through the centres of pixels; the pixels' edge is half a pixel further out.
    whole = whole.buffer(0.5, join_style="mitre")
    whole = shapely.transform(whole, lambda xy: (xy + 0.5) * half_cell)
    whole = whole.simplify(0.35 * frame.cell_px).buffer(0)
    parts = [whole] if isinstance(whole, Polygon) else list(whole.geoms)
    parts = [part for part in parts if not part.is_empty]
    return MultiPolygon(sorted(parts, key=lambda part: -part.area))


def annotation_document(polygons: MultiPolygon, *, name: str, merged: bool) -> str:
    """GeoJSON as QuPath exports it: one MultiPolygon if ``merged``, else one Polygon each."""
    shapes = [polygons] if merged and len(polygons.geoms) > 1 else list(polygons.geoms)
    features = [_feature(shape, f"{name}/{number}") for number, shape in enumerate(shapes)]
    document = {"type": "FeatureCollection", "features": features}
    return json.dumps(document, separators=(",", ":")) + "\n"


def _feature(shape: Polygon | MultiPolygon, key: str) -> dict[str, Any]:
    rounded = shapely.set_precision(shape, 0.01)
    geometry = mapping(rounded)
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, key)),
        "geometry": {"type": geometry["type"], "coordinates": geometry["coordinates"]},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": CLASS_NAME, "color": list(COLOUR)},
        },
    }
