"""The network without weights against OpenCV, which has the same method."""

from __future__ import annotations

from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from openslide import OpenSlide

from h2g.errors import WrongUseError
from h2g.models.registry import build_refinement_model

SLIDE = Path(__file__).parents[2] / "data" / "CMU-1-Small-Region.svs"
SIDE_PX = 128


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_refinement_model("otsu", input_px=SIDE_PX)


def opencv_tissue(rgb: np.ndarray) -> np.ndarray:
    saturation = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
    return cv2.threshold(saturation, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]


def test_the_threshold_is_opencvs_on_a_real_slide(network: keras.Model) -> None:
    with OpenSlide(SLIDE) as slide:
        thumbnail = np.asarray(slide.get_thumbnail((400, 400)).convert("RGB"))
    rgb = np.ascontiguousarray(cv2.resize(thumbnail, (SIDE_PX, SIDE_PX)))
    probabilities = network.predict_on_batch(rgb[np.newaxis].astype(np.float32) / 255)[0]
    expected = opencv_tissue(rgb)
    assert 0.1 < expected.mean() < 0.9
    # OpenCV divides in whole numbers, which can move a value by one.
    assert np.mean(probabilities[..., 1] == expected) > 0.999
    np.testing.assert_array_equal(probabilities.sum(axis=-1), 1.0)


def test_every_slide_has_its_own_threshold(network: keras.Model) -> None:
    """Two slides of two saturations each: 40 and 80, 120 and 200."""
    slides = np.full((2, SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    for slide, (low, high) in zip(slides, ((40, 80), (120, 200)), strict=True):
        slide[..., 1] = 255 - low
        slide[:32, :, 1] = 255 - high
    found = network.predict_on_batch(slides.astype(np.float32) / 255)[..., 1]
    for tissue in found:
        assert tissue[:32].all()
        assert not tissue[32:].any()


def test_one_colour_is_no_tissue(network: keras.Model) -> None:
    grey = np.full((1, SIDE_PX, SIDE_PX, 3), 0.5, np.float32)
    assert not network.predict_on_batch(grey)[..., 1].any()


def test_unsupported_arguments_are_refused() -> None:
    with pytest.raises(WrongUseError, match="tissue and background"):
        build_refinement_model("otsu", input_px=64, num_classes=3)
    with pytest.raises(WrongUseError, match="must be image"):
        build_refinement_model("otsu", input_px=64, inputs="both")
