import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import shapely

from h2g.annotations.qupath import read_geojson, write_geojson
from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame
from tests.region_areas import area_level0

FIELD = (1000, 800)
WHOLE = (0, 0, 1000, 800)
SQUARE = [[[10, 10], [30, 10], [30, 30], [10, 30], [10, 10]]]  # area 400
HOLE = [[15, 15], [25, 15], [25, 25], [15, 25], [15, 15]]  # area 100


def feature(
    name: str | None = "Tumor", kind: str = "Polygon", coordinates: Any = None, **properties: Any
) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": SQUARE if coordinates is None else coordinates}
    classification = {} if name is None else {"classification": {"name": name, "color": [9, 9, 9]}}
    return {
        "type": "Feature",
        "id": "9f2e9a0c-6f8f-4cf9-8e51-1c2b8d5f7a10",
        "geometry": geometry,
        "properties": {"objectType": "annotation", **classification, **properties},
    }


def read(
    tmp_path: Path,
    document: Any,
    bounds: tuple[int, int, int, int] = WHOLE,
    settings: AnnotationSettings | None = None,
) -> AnnotatedRegions:
    path = tmp_path / "slide.geojson"
    path.write_text(json.dumps(document))
    return read_geojson(path, settings or AnnotationSettings(), Frame(FIELD, 1.0, bounds))


@pytest.mark.parametrize("wrapped", ["collection", "list", "feature", "gzip", "gzip by content"])
def test_all_wrappings(tmp_path: Path, wrapped: str) -> None:
    one = feature()
    collection = {"type": "FeatureCollection", "features": [one]}
    document = {"list": [one], "feature": one}.get(wrapped, collection)
    content = json.dumps(document).encode()
    path = tmp_path / ("slide.geojson.gz" if wrapped == "gzip" else "slide.geojson")
    path.write_bytes(gzip.compress(content) if "gzip" in wrapped else content)
    found = read_geojson(path, AnnotationSettings(), Frame(FIELD, 1.0, WHOLE))
    assert area_level0(found, "tumour") == 400
    assert found.source == path


def test_bare_geometry_has_no_class(tmp_path: Path) -> None:
    document = {"type": "Polygon", "coordinates": SQUARE}
    settings = AnnotationSettings(classes={"tumour": ("unclassified",)})
    assert area_level0(read(tmp_path, document, settings=settings), "tumour") == 400
    with pytest.raises(AnnotationError, match="'unclassified'"):
        read(tmp_path, document)


def test_holes_and_multipolygons(tmp_path: Path) -> None:
    other = [[[100, 100], [110, 100], [110, 110], [100, 110], [100, 100]]]
    document = [
        feature(coordinates=[*SQUARE, HOLE]),
        feature(kind="MultiPolygon", coordinates=[other]),
    ]
    # 400 - 100, and 10 x 10.
    assert area_level0(read(tmp_path, document), "tumour") == 300 + 100


@pytest.mark.parametrize(
    "classification",
    [
        {"name": "TUMOR"},
        {"name": "Tumor: Positive"},
        {"names": ["Tumor", "Positive"], "color": [1, 2, 3]},
        {"name": "Tumor", "colorRGB": -3670016},
        "tumor",
    ],
)
def test_ways_to_write_a_class(tmp_path: Path, classification: Any) -> None:
    document = feature(None, classification=classification)
    assert area_level0(read(tmp_path, document), "tumour") == 400


@pytest.mark.parametrize("classification", [None, {}, {"name": None}])
def test_no_class(tmp_path: Path, classification: Any) -> None:
    with pytest.raises(AnnotationError, match=r"'unclassified' \(1\)"):
        read(tmp_path, feature(None, classification=classification))


@pytest.mark.parametrize("kind", ["detection", "cell", "tile", "tma_core"])
def test_only_annotations_are_read(tmp_path: Path, kind: str) -> None:
    found = read(tmp_path, [feature(), feature("Nucleus", objectType=kind)])
    assert len(found.regions) == 1


def test_old_objects(tmp_path: Path) -> None:
    old = {**feature(), "id": "PathAnnotationObject"}
    cell = {**feature("Nucleus"), "id": "PathCellObject"}
    for one in (old, cell):
        del one["properties"]["objectType"]
    assert area_level0(read(tmp_path, [old, cell]), "tumour") == 400


def test_points_and_lines_have_no_area(tmp_path: Path) -> None:
    document = [
        feature(kind="Point", coordinates=[1, 2]),
        feature(kind="LineString", coordinates=[[1, 2], [3, 4]]),
        feature(),
    ]
    assert len(read(tmp_path, document).regions) == 1


def test_geometry_collection(tmp_path: Path) -> None:
    document = feature()
    document["geometry"] = {
        "type": "GeometryCollection",
        "geometries": [
            {"type": "Polygon", "coordinates": SQUARE},
            {"type": "Point", "coordinates": [5, 5]},
        ],
    }
    assert area_level0(read(tmp_path, document), "tumour") == 400


def test_heights_and_open_rings(tmp_path: Path) -> None:
    ring = [[10, 10, 7], [30, 10, 7], [30, 30, 7], [10, 30, 7]]
    found = read(tmp_path, feature(coordinates=[ring]))
    assert found.regions[0].geometry.equals(shapely.box(10, 10, 30, 30))
    assert not found.regions[0].geometry.has_z


def test_nothing_annotated_is_valid(tmp_path: Path) -> None:
    assert read(tmp_path, {"type": "FeatureCollection", "features": []}).regions == ()


def test_bounds_are_added(tmp_path: Path) -> None:
    found = read(tmp_path, feature(), bounds=(300, 200, 500, 500))
    assert found.regions[0].geometry.equals(shapely.box(310, 210, 330, 230))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not json", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"\x1f\x8b\x08damaged", "gzip file is damaged"),
        (b'{"a": 1}', "not GeoJSON"),
        (b"3", "not GeoJSON"),
        (b'[{"type": "Feature", "geometry": {"type": "Circle"}}]', "annotation 1 is not valid"),
        (b'{"type": "Polygon", "coordinates": [[[1], [2], [3]]]}', "annotation 1 is not valid"),
        (b'{"type": "Polygon", "coordinates": [[[0, 1], [NaN, 2], [3, 1]]]}', "a point at nan"),
        (b'{"type": "Polygon", "coordinates": [[[0, 1], [1e999, 2], [3, 1]]]}', "a point at inf"),
        (b'{"type": "Polygon", "coordinates": [[[NaN, 1], [2, 2], [3, 1]]]}', "annotation 1 is"),
        (b'{"type": "Polygon", "coordinates": [[[1, 1], [2, 2]]]}', "annotation 1 is not valid"),
        (b'{"type": "Polygon", "coordinates": 5}', "annotation 1 is not valid"),
        (b'{"type": "Circle", "coordinates": [1, 1]}', "[Uu]nknown geometry type: 'circle'"),
    ],
)
def test_bad_files_are_sentences(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "bad.geojson"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=sentence) as failure:
        read_geojson(path, AnnotationSettings(), Frame(FIELD, 1.0, WHOLE))
    assert str(path) in str(failure.value)


def test_written_as_qupath_opens_it_and_read_back(tmp_path: Path) -> None:
    bounds = (300, 200, 500, 500)
    ring = shapely.box(310, 210, 350, 250) - shapely.box(320, 220, 330, 230)
    two = shapely.MultiPolygon([shapely.box(400, 300, 401, 301), shapely.box(402, 300, 403, 301)])
    drawn = AnnotatedRegions((Region(ring, "tumour"), Region(two, "stroma")), tmp_path / "a")
    path = tmp_path / "out" / "slide.geojson"
    names = ("background", "tumour", "stroma")
    write_geojson(drawn, path, class_names=names, frame=Frame(FIELD, 1.0, bounds))

    document = json.loads(path.read_text())
    assert document["type"] == "FeatureCollection"
    first = document["features"][0]
    assert first["properties"] == {
        "objectType": "annotation",
        "isLocked": False,
        "classification": {"name": "tumour", "color": [200, 0, 0]},
    }
    assert first["geometry"]["type"] == "Polygon"
    # QuPath's frame: 310 - 300, 210 - 200.
    assert min(first["geometry"]["coordinates"][0]) == [10, 10]
    assert [p.name for p in path.parent.iterdir()] == ["slide.geojson"]

    settings = AnnotationSettings(classes={"tumour": (), "stroma": ()})
    back = read_geojson(path, settings, Frame(FIELD, 1.0, bounds))
    assert back.regions[0].geometry.equals(ring)
    assert back.regions[1].geometry.equals(two)


def test_nothing_to_write_is_an_empty_collection(tmp_path: Path) -> None:
    path = tmp_path / "none.geojson"
    nothing = AnnotatedRegions((), path)
    write_geojson(
        nothing, path, class_names=("background", "tumour"), frame=Frame(FIELD, 1.0, WHOLE)
    )
    assert json.loads(path.read_text()) == {"type": "FeatureCollection", "features": []}


def object_of(kind: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    properties = {"objectType": kind, "childObjects": list(children)}
    return {"type": "Feature", "geometry": None, "properties": properties, **more}


@pytest.mark.parametrize("kind", ["root", "tma_core", "TMACoreObject"])
def test_children_are_read_at_any_depth(tmp_path: Path, kind: str) -> None:
    outer = feature(coordinates=[[[x + 50, y] for x, y in SQUARE[0]]])
    outer["properties"]["childObjects"] = [feature()]
    assert area_level0(read(tmp_path, outer), "tumour") == 800
    # The root and TMA cores hold annotations and are none themselves.
    nested = object_of("root", object_of(kind, outer))
    assert area_level0(read(tmp_path, nested), "tumour") == 800


def test_children_that_are_no_annotations_are_counted_by_type(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    children = [object_of("cell"), object_of("detection"), object_of("cell"), feature()]
    found = read(tmp_path, object_of("root", *children))
    assert area_level0(found, "tumour") == 400
    assert "skipped: 2 of type cell, 1 of type detection." in caplog.text


@pytest.mark.parametrize("identifier", ["cell-rich area", "tile 7", "root", "3f0c", "PathRoot"])
def test_an_id_hides_an_annotation_only_if_it_is_qupaths(tmp_path: Path, identifier: str) -> None:
    document = {**feature(), "id": identifier}
    assert area_level0(read(tmp_path, document), "tumour") == 400  # objectType decides
    del document["properties"]["objectType"]
    expected = 0 if identifier == "root" else 400
    assert area_level0(read(tmp_path, document), "tumour") == expected
    old = {**document, "id": "PathDetectionObject"}
    assert read(tmp_path, old).regions == ()
