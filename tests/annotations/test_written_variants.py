"""Whatever way a program writes the same outlines, they are read as the same regions."""

from __future__ import annotations

import gzip
import io
import json
import random
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from h2g.annotations.reading import read_annotations
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame

FRAME = Frame((400, 300), 0.5)
RECIPE = AnnotationSettings(
    classes={"tumour": ("Tumor", "metastases"), "stroma": ("Stroma",)},
    background=("normal",),
    ignored=("Other",),
)
# What files call the classes; None is not of a class, and is ignored by name.
NAMES = {"tumour": ("Tumor", "tumour", "METASTASES"), "stroma": ("Stroma", " stroma"),
         "background": ("normal",), "ignored": ("Other",)}  # fmt: skip

Drawn = tuple[str, shapely.Polygon]


@st.composite
def drawings(draw: st.DrawFn) -> list[Drawn]:
    """Outlines in the order of drawing, each with a class of NAMES."""

    def outline() -> shapely.Polygon:
        x, y = draw(st.integers(0, 300)), draw(st.integers(0, 200))
        width, height = draw(st.integers(5, 100)), draw(st.integers(5, 100))
        corner = draw(st.sampled_from([(x, y), (x + width, y)]))
        return shapely.Polygon([corner, (x + width, y + height), (x, y + height)])

    count = draw(st.integers(1, 6))
    return [(draw(st.sampled_from(list(NAMES))), outline()) for _ in range(count)]


def area_by_class(drawn: Sequence[Drawn]) -> dict[str, float]:
    """The right areas: background is cut out of what was drawn before it."""
    shapes: dict[str, shapely.Geometry] = {name: shapely.Polygon() for name in RECIPE.classes}
    for class_name, shape in drawn:
        if class_name == "background":
            shapes = {name: known.difference(shape) for name, known in shapes.items()}
        elif class_name in shapes:
            shapes[class_name] = shapes[class_name].union(shape)
    return {name: shape.area for name, shape in shapes.items()}


def read_areas(name: str, content: bytes) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        found = read_annotations(path, RECIPE, FRAME)
    return {
        name: shapely.union_all([region.geometry for region in found.of_class(name)]).area
        for name in RECIPE.classes
    }


def packed(name: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """The file as it is, or packed; the name may not tell."""
    way = rng.choice(["plain", "gzip", "zip", "zip of macOS"])
    if way == "plain":
        return name, content
    if way == "gzip":
        return rng.choice([name, f"{name}.gz"]), gzip.compress(content)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"export/{name}", content)
        if way == "zip of macOS":
            archive.writestr(f"__MACOSX/export/._{name}", b"\0")
            archive.writestr("export/readme.txt", "nothing")
    return rng.choice([name, f"{name}.zip"]), stream.getvalue()


def qupath_class(name: str, rng: random.Random) -> Any:
    return rng.choice(
        [
            {"name": name, "color": [200, 0, 0]},
            {"name": name, "colorRGB": -3670016},
            {"names": [name]},
            {"names": [name, "Positive"]},
            {"name": f"{name}: Positive"},
            name,
        ]
    )


def qupath_geometry(shape: shapely.Polygon, rng: random.Random) -> dict[str, Any]:
    polygon = json.loads(json.dumps(shapely.geometry.mapping(shape)))
    way = rng.choice(["polygon", "multi", "collection", "closed twice", "3D", "float"])
    if way == "multi":
        return {"type": "MultiPolygon", "coordinates": [polygon["coordinates"]]}
    if way == "collection":
        return {"type": "GeometryCollection", "geometries": [polygon]}
    if way == "closed twice":
        polygon["coordinates"] = [[*ring, ring[0]] for ring in polygon["coordinates"]]
    if way == "3D":
        polygon["coordinates"] = [[[*point, 0] for point in r] for r in polygon["coordinates"]]
    if way == "float":
        polygon["isEllipse"], polygon["plane"] = False, {"c": -1, "z": 0, "t": 0}
    return polygon


def qupath_feature(name: str, shape: shapely.Polygon, rng: random.Random) -> dict[str, Any]:
    properties: dict[str, Any] = {"classification": qupath_class(name, rng)}
    feature = {"type": "Feature", "geometry": qupath_geometry(shape, rng), "properties": properties}
    way = rng.choice(["0.2", "0.3", "0.5", "bare"])
    if way == "0.2":
        feature["id"] = "PathAnnotationObject"
    elif way == "0.3":
        properties["object_type"] = "annotation"
    elif way == "0.5":
        feature["id"] = rng.choice(["tile-1", "cell", "6dbe5d4c"])[:5] + "-uuid"
        properties |= {"objectType": "annotation", "name": "root of it", "measurements": {"a": 1}}
    return feature


def qupath_document(features: list[dict[str, Any]], rng: random.Random) -> Any:
    """The features in one of the trees that QuPath writes; each child comes after its parent."""
    way = rng.choice(["collection", "list", "chain", "root", "core"])
    if way == "list":
        return features
    if way == "chain":  # each inside the one before
        for parent, child in zip(features, features[1:], strict=False):
            place = rng.choice([parent, parent["properties"]])
            place["childObjects"] = [child]
        return features[0]
    if way in ("root", "core"):
        kind = "root" if way == "root" else "tma_core"
        whole = shapely.geometry.mapping(shapely.box(0, 0, *FRAME.field_level0))
        top = {"type": "Feature", "geometry": whole, "properties": {"objectType": kind}}
        return {"type": "FeatureCollection", "features": [{**top, "childObjects": features}]}
    return {"type": "FeatureCollection", "features": features}


@settings(max_examples=200, deadline=None)
@given(drawings(), st.randoms(use_true_random=False))
def test_qupath(drawn: list[Drawn], rng: random.Random) -> None:
    features = [
        qupath_feature(rng.choice(NAMES[class_name]), shape, rng) for class_name, shape in drawn
    ]
    detection = qupath_feature("Tumor", shapely.box(0, 0, 400, 300), rng)
    detection["properties"]["objectType"] = "detection"
    document = qupath_document([*features, detection], rng)
    encoding = rng.choice(["utf-8", "utf-8-sig"])
    content = json.dumps(document, indent=rng.choice([None, 2])).encode(encoding)
    found = read_areas(*packed("a.geojson", content, rng))
    right = area_by_class(drawn)
    for name, area in right.items():
        assert abs(found[name] - area) < 1e-6 * max(1, area), (name, found, right)


@settings(max_examples=200, deadline=None)
@given(drawings(), st.randoms(use_true_random=False))
def test_asap(drawn: list[Drawn], rng: random.Random) -> None:
    root = ElementTree.Element("ASAP_Annotations")
    annotations = ElementTree.SubElement(root, "Annotations")
    groups = ElementTree.SubElement(root, "AnnotationGroups")
    comma, unordered = rng.random() < 0.5, rng.random() < 0.3

    def text(value: float) -> str:
        written = rng.choice([f"{value:.4f}", f"{value:g}", f"{value:e}"])
        return written.replace(".", ",") if comma else written

    for class_name, shape in drawn:
        group = rng.choice(NAMES[class_name]).strip()
        if rng.random() < 0.3:  # a group of its own inside the group of the class
            ElementTree.SubElement(groups, "Group", Name=f"sub {group}", PartOfGroup=group)
            group = f"sub {group}"
        kind = rng.choice(["Polygon", "Spline", "Rectangle"])
        element = ElementTree.SubElement(
            annotations, "Annotation", Name="a", Type=kind, PartOfGroup=group, Color="#F4FA58"
        )
        coordinates = ElementTree.SubElement(element, "Coordinates")
        points = [
            ({} if unordered else {"Order": str(order)}) | {"X": text(x), "Y": text(y)}
            for order, (x, y) in enumerate(shape.exterior.coords[:-1])
        ]
        if not unordered:
            rng.shuffle(points)
        for point in points:
            ElementTree.SubElement(coordinates, "Coordinate", point)
    dot = ElementTree.SubElement(annotations, "Annotation", Type="Dot", PartOfGroup="Tumor")
    ElementTree.SubElement(
        ElementTree.SubElement(dot, "Coordinates"), "Coordinate", Order="0", X="9", Y="9"
    )
    content = ElementTree.tostring(root, xml_declaration=rng.random() < 0.5, encoding="utf-8")
    found = read_areas(*packed("a.xml", content, rng))
    right = area_by_class(drawn)
    for name, area in right.items():
        assert abs(found[name] - area) < 0.01 * max(1, area), (name, found, right)
