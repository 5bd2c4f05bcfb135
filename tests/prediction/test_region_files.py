"""Prediction inside outlines alone."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import tifffile

from h2g.errors import AnnotationError, WrongUseError
from h2g.folders.predictions import SlideRequest
from h2g.prediction.predict_slides import predict_slides
from h2g.prediction.region_files import is_outside, read_regions, with_regions
from h2g.slides.frame import Frame
from tests.prediction.drawn_slides import (
    TUMOUR,
    ColourClassifier,
    ColourRefinement,
    colour_model,
    draw,
    save_tiff,
)

# Tumour over 256 x 128 of 640 x 576 um; 1 um/px.
TUMOUR_BOX = np.array([[128, 128], [383, 128], [383, 255], [128, 255]])


def write_outlines(path: Path, *boxes: shapely.Polygon, name: str | None = None) -> Path:
    properties = {"objectType": "annotation"}
    if name:
        properties["classification"] = {"name": name}
    features = [
        {"type": "Feature", "geometry": shapely.geometry.mapping(box), "properties": properties}
        for box in boxes
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return save_tiff(tmp_path / "slide.tiff", draw((640, 576), shapes={TUMOUR: [TUMOUR_BOX]}), 1.0)


@pytest.mark.parametrize("refined", [False, True])
def test_areas_and_labels_are_those_inside(slide: Path, tmp_path: Path, refined: bool) -> None:
    # Half of the tumour; the outline ends inside a patch of 32 px.
    half = write_outlines(tmp_path / "half.geojson", shapely.box(0, 0, 250, 576), name="Tumor")
    model = colour_model(ColourClassifier(), *([ColourRefinement()] if refined else []))
    request = SlideRequest(slide, regions=half)
    (row,) = predict_slides(model, [request], tmp_path / "out")
    assert row["status"] == "ok", row["reason"]
    assert row["regions_mm2"] == pytest.approx(0.25 * 0.576, rel=1e-3)
    assert row["tissue_mm2"] == pytest.approx(0.25 * 0.576, rel=0.01)
    assert row["tumour_mm2"] == pytest.approx((250 - 128) * 128 / 1e6, rel=0.03)
    labels = tifffile.imread(tmp_path / "out" / "segmentations" / "slide.tiff")
    assert not labels[:, round(250 / 640 * labels.shape[1]) + 1 :].any()
    assert 0 < row["patches"] < 20 * 18 / 2
    geojson = json.loads((tmp_path / "out" / "geojson" / "slide.geojson").read_text())
    outline = shapely.union_all(
        [shapely.geometry.shape(f["geometry"]) for f in geojson["features"]]
    )
    assert outline.bounds[2] <= 251
    assert cv2.imread(str(tmp_path / "out" / "overlays" / "slide.png")) is not None


def test_other_outlines_are_predicted_again_and_the_same_ones_are_not(
    slide: Path, tmp_path: Path
) -> None:
    out, model = tmp_path / "out", colour_model()
    outlines = write_outlines(tmp_path / "a.geojson", shapely.box(0, 0, 250, 576))
    request = SlideRequest(slide, regions=outlines)

    def area() -> float:
        (row,) = predict_slides(model, [request], out)
        return row["regions_mm2"]

    first = area()
    segmentation = out / "segmentations" / "slide.tiff"
    made = segmentation.stat().st_mtime_ns
    assert area() == first
    assert segmentation.stat().st_mtime_ns == made
    write_outlines(outlines, shapely.box(0, 0, 500, 576))
    assert area() == pytest.approx(2 * first, rel=0.01)
    (row,) = predict_slides(model, [SlideRequest(slide)], out)
    assert "regions_mm2" not in row
    assert row["tumour_mm2"] == pytest.approx(256 * 128 / 1e6, rel=0.03)


def test_outlines_without_tissue_or_without_outline_fail_with_a_reason(
    slide: Path, tmp_path: Path
) -> None:
    empty = write_outlines(tmp_path / "empty.geojson")
    white = draw((640, 576), shapes={(255, 255, 255): [np.array([[0, 0], [300, 0], [300, 576]])]})
    glass = save_tiff(tmp_path / "glass.tiff", white, 1.0)
    corner = write_outlines(tmp_path / "corner.geojson", shapely.box(200, 0, 290, 60))
    requests = [SlideRequest(slide, regions=empty), SlideRequest(glass, regions=corner)]
    rows = predict_slides(colour_model(), requests, tmp_path / "out")
    assert "holds no outline on the slide" in rows[0]["reason"]
    assert f"inside the outlines of {corner}, no " in rows[1]["reason"]


def test_every_class_counts_but_ignored_ones(tmp_path: Path) -> None:
    frame = Frame((640, 576), 1.0)
    file = tmp_path / "a.geojson"
    for name in (None, "Region*", "Tumor", "anything"):
        write_outlines(file, shapely.box(0, 0, 10, 10), shapely.box(5, 0, 20, 10), name=name)
        within = read_regions(file, frame).within
        assert within is not None
        assert within.area == 200
    write_outlines(file, shapely.box(0, 0, 10, 10), name="Ignore*")
    with pytest.raises(AnnotationError, match="holds no outline"):
        read_regions(file, frame)
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, 7], [0, 0]], np.uint8))
    mask = read_regions(tmp_path / "a.png", Frame((640, 640), 1.0))
    outside = is_outside(mask, Frame((640, 640), 1.0), (4, 4))
    np.testing.assert_array_equal(~outside, np.kron([[0, 1], [0, 0]], np.ones((2, 2))))


def test_each_slide_gets_its_own_file(tmp_path: Path) -> None:
    slides = [SlideRequest(tmp_path / name) for name in ("a.svs", "b.svs")]
    folder = tmp_path / "rois"
    folder.mkdir()
    for name in ("a.geojson", "b.xml"):
        (folder / name).touch()
    found = with_regions(slides, folder)
    assert [each.regions for each in found] == [folder / "a.geojson", folder / "b.xml"]
    (folder / "b.png").touch()
    with pytest.raises(WrongUseError, match="several files of outlines for b"):
        with_regions(slides, folder)
    (folder / "a.geojson").unlink()
    with pytest.raises(WrongUseError, match="no file of outlines for a. Each slide needs one"):
        with_regions(slides[:1], folder)
    with pytest.raises(WrongUseError, match="one file of outlines for 2 slides"):
        with_regions(slides, folder / "b.xml")
    with pytest.raises(WrongUseError, match="no such file or folder of outlines"):
        with_regions(slides, tmp_path / "none")
