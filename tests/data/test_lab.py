"""Shifts in Lab: OpenCV against tensorflow-io and against values known by hand."""

import numpy as np
import pytest
import tensorflow as tf

from h2g.data.augmentation import augment_patches, shift_lab, shift_lab_in_graph
from h2g.recipes.patch import PatchAugmentation

# Neither clipped nor near black, where both libraries have a linear piece.
PIXELS = np.random.default_rng(0).uniform(0.3, 0.7, (2, 8, 8, 3)).astype(np.float32)


def test_lightness_alone_makes_a_grey_lighter() -> None:
    # L of a grey of 0.5 (sRGB): linear 0.2140, L = 116 * 0.2140 ** (1 / 3) - 16 = 53.39;
    # 63.39 is linear 0.3203 and sRGB 0.6027.
    grey = np.full((1, 2, 2, 3), 0.5, np.float32)
    lighter = shift_lab(grey, np.array([[10, 0, 0]], np.float32)).numpy()
    np.testing.assert_allclose(lighter, 0.6027, atol=1e-3)


def test_no_shift_changes_nothing() -> None:
    same = shift_lab(PIXELS, np.zeros((2, 3), np.float32)).numpy()
    np.testing.assert_allclose(same, PIXELS, atol=2e-3)


def test_results_stay_in_range_at_the_corners_of_rgb() -> None:
    corners = np.array(np.meshgrid([0, 1], [0, 1], [0, 1]), np.float32).T.reshape(1, 4, 2, 3)
    for shift in ([60, 60, 60], [-60, -60, -60]):
        shifted = shift_lab(corners, np.array([shift], np.float32)).numpy()
        assert np.isfinite(shifted).all()
        assert shifted.min() >= 0
        assert shifted.max() <= 1


def test_each_sample_has_its_own_shift_and_a_batch_its_own_numbers() -> None:
    settings = PatchAugmentation(flip=0, rotate=0, colour=0, brightness=0, lab=1.0)
    pixels = tf.constant(np.full((4, 8, 8, 3), 120, np.uint8))
    first = augment_patches(pixels, tf.constant(3), seed=1, settings=settings).numpy()
    again = augment_patches(pixels, tf.constant(3), seed=1, settings=settings).numpy()
    other = augment_patches(pixels, tf.constant(4), seed=1, settings=settings).numpy()
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first[:, 0, 0], axis=0)) == 4
    assert np.abs(first - other).max() > 0.01


def test_tensorflow_io_shifts_alike() -> None:
    pytest.importorskip("tensorflow_io", reason="extra io is not installed")
    shift = np.array([[8, -6, 4], [-5, 7, -3]], np.float32)
    ours = shift_lab(PIXELS, shift).numpy()
    theirs = shift_lab_in_graph(tf.constant(PIXELS), tf.constant(shift)).numpy()
    np.testing.assert_allclose(theirs, ours, atol=5e-3)
