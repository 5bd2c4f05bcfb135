"""Prediction finds a drawn polygon at its place, in level-0 pixels."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import tifffile

from h2g.folders.predictions import SlideRequest
from h2g.prediction.predict_slides import predict_slides
from h2g.slides.heatmap import draw_heatmap
from h2g.slides.tiff_files import read_heatmap
from tests.prediction.drawn_slides import (
    TUMOUR,
    ColourRefinement,
    colour_model,
    draw,
    save_scn,
    save_tiff,
)

# Neither square nor a multiple of the patches' 32 um, so that a stretched grid or swapped axes give
# another place.
FIELD_UM = (1490, 1130)
CORNER_UM = (620, 410)  # of the scanned part in slides with bounds
TISSUE_UM = np.array([[60, 40], [1400, 100], [1440, 1050], [700, 1090], [80, 980]])
TUMOUR_UM = np.array([[330, 150], [1050, 210], [1300, 640], [900, 960], [420, 930], [230, 560]])
HOLE_UM = np.array([[620, 420], [860, 440], [840, 650], [640, 640]])


def predicted(tmp_path: Path, mpp: float, *, bounds: bool, refines: bool) -> tuple[dict, Path]:
    """The GeoJSON of a slide with the tumour drawn on it."""
    size_px = (round(FIELD_UM[0] / mpp), round(FIELD_UM[1] / mpp))
    shapes = {TUMOUR: [TUMOUR_UM / mpp, HOLE_UM / mpp]}
    image = draw(size_px, tissue=TISSUE_UM / mpp, shapes=shapes)
    if bounds:
        corner = (round(CORNER_UM[0] / mpp), round(CORNER_UM[1] / mpp))
        slide = save_scn(tmp_path / "drawn.scn", image, mpp, corner_level0=corner)
    else:
        slide = save_tiff(tmp_path / "drawn.tiff", image, mpp)
    out = tmp_path / "out"
    model = colour_model(refinement=ColourRefinement() if refines else None)
    (row,) = predict_slides(model, [SlideRequest(slide)], out, threads=2)
    assert row["status"] == "ok", row["reason"]
    assert row["mpp"] == pytest.approx(mpp)
    return json.loads((out / "geojson" / "drawn.geojson").read_text()), out


def drawn(mpp: float) -> shapely.Polygon:
    return shapely.Polygon(TUMOUR_UM / mpp, [HOLE_UM / mpp])


def found(document: dict) -> shapely.Geometry:
    return shapely.union_all([shapely.geometry.shape(f["geometry"]) for f in document["features"]])


def iou(one: shapely.Geometry, other: shapely.Geometry) -> float:
    return one.intersection(other).area / one.union(other).area


# 0.25, 0.5 and 1.0 have a level at the patches' 1.0 um/px; 0.4 has none, patches are resampled.
@pytest.mark.parametrize("bounds", [False, True])
@pytest.mark.parametrize("refines", [False, True])
@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 1.0])
def test_a_drawn_polygon_is_found_at_its_place(
    tmp_path: Path, mpp: float, bounds: bool, refines: bool
) -> None:
    document, _ = predicted(tmp_path, mpp, bounds=bounds, refines=refines)
    # QuPath's origin is the corner of the bounds, so the drawn coordinates are its coordinates.
    outline, truth = found(document), drawn(mpp)
    assert iou(outline, truth) > (0.97 if refines else 0.9)
    # The test is sensitive: a shift by half a patch reduces the overlap.
    moved = shapely.affinity.translate(outline, 16 / mpp, -16 / mpp)
    assert iou(moved, truth) < iou(outline, truth)
    shift = np.hypot(outline.centroid.x - truth.centroid.x, outline.centroid.y - truth.centroid.y)
    assert shift * mpp < 4


@pytest.mark.parametrize("bounds", [False, True])
def test_every_output_has_the_polygon_at_its_place(tmp_path: Path, bounds: bool) -> None:
    mpp = 0.5
    document, out = predicted(tmp_path, mpp, bounds=bounds, refines=True)
    corner_um = CORNER_UM if bounds else (0, 0)
    field_um = tuple(f + 2 * c for f, c in zip(FIELD_UM, corner_um, strict=True))

    labels = tifffile.imread(out / "segmentations" / "drawn.tiff")
    assert labels.dtype == np.uint8
    um_px = field_um[0] / labels.shape[1]
    assert labels.shape[0] == pytest.approx(field_um[1] / um_px, abs=1)
    assert mask_iou(labels > 0, um_px, corner_um) > 0.97
    with tifffile.TiffFile(out / "segmentations" / "drawn.tiff") as tiff:
        assert tiff.pages[0].is_tiled
        assert tiff.pages[0].resolution[0] == pytest.approx(10_000 / um_px, rel=1e-3)

    heatmap = read_heatmap(out / "heatmaps" / "drawn.tiff")
    shown = draw_heatmap(heatmap, (labels.shape[1], labels.shape[0]))[..., 1] > 0.5
    assert mask_iou(shown, um_px, corner_um) > 0.9

    patches = np.genfromtxt(out / "patches" / "drawn.csv", delimiter=",", names=True)
    assert patches.dtype.names == ("minx", "miny", "width", "height", *PROBABILITIES)
    assert set(patches["width"]) == set(patches["height"]) == {64}  # 32 um at 0.5 um/px
    tumour = patches[patches["prob_tumour"] > 0.5]
    squares = shapely.box(tumour["minx"], tumour["miny"], tumour["minx"] + 64, tumour["miny"] + 64)
    in_field = shapely.affinity.translate(drawn(mpp), corner_um[0] / mpp, corner_um[1] / mpp)
    assert iou(shapely.union_all(squares), in_field) > 0.9

    properties = document["features"][0]["properties"]
    assert properties["objectType"] == "annotation"
    assert properties["classification"]["name"] == "tumour"


PROBABILITIES = ("prob_background", "prob_tumour")


def mask_iou(mask: np.ndarray, um_px: float, corner_um: tuple[int, int]) -> float:
    truth = np.zeros(mask.shape, np.uint8)
    rings = [np.round((ring + corner_um) / um_px).astype(np.int32) for ring in (TUMOUR_UM, HOLE_UM)]
    cv2.fillPoly(truth, rings, 1)
    return np.count_nonzero(mask & (truth > 0)) / np.count_nonzero(mask | (truth > 0))
