from __future__ import annotations

import cv2
import numpy as np
import pytest

from h2g.results.labels import (
    STRIP_ROWS,
    labels_at,
    labels_of,
    patchwise_labels,
)
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap


@pytest.mark.parametrize(
    ("probabilities", "label"),
    [
        ([0.2, 0.8], 1),
        ([0.8, 0.2], 0),
        ([0.5, 0.5], 0),  # at 0.5 is not above it
        ([0.0, 0.0], 0),  # a skipped patch
        ([0.3, 0.1, 0.6], 2),
        ([0.4, 0.35, 0.25], 0),  # none above 0.5
        # Without softmax, e.g. scores of independent classes:
        ([0.7, 0.6], 0),  # smaller than background
        ([0.6, 0.6], 1),  # as large as background
        ([0.1, 0.9, 0.8], 1),  # the largest
        ([0.1, 0.8, 0.8], 2),  # ties to the last
    ],
)
def test_label_rule(probabilities: list[float], label: int) -> None:
    assert labels_of(np.array(probabilities, np.float32)) == label


def test_labels_keep_the_shape_and_leave_the_probabilities() -> None:
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], (7, 5)).astype(np.float32)
    before = probabilities.copy()
    labels = labels_of(probabilities)
    assert labels.shape == (7, 5)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(probabilities, before)


@pytest.mark.parametrize("size_px", [(300, 200), (40, 30), (90, 2 * STRIP_ROWS + 77)])
def test_labels_at_a_size_are_those_of_the_resized_probabilities(size_px: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([1, 1, 1], (64, 64)).astype(np.float32)
    resized = cv2.resize(probabilities, size_px, interpolation=cv2.INTER_LINEAR)
    labels = labels_at(probabilities, size_px)
    assert labels.shape == size_px[::-1]
    assert set(np.unique(labels)) == {0, 1, 2}
    sure = np.abs(resized - 0.5).min(axis=-1) > 1e-4  # rounding decides the others
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(labels[sure], labels_of(resized)[sure])


def test_a_patchwise_mask_is_drawn_not_stretched() -> None:
    # Two columns of 100 px over a field of 150: the first covers 2/3 of the image's 30 px.
    values = np.array([[[0.9, 0.1], [0.1, 0.9]]], np.float32)
    heatmap = Heatmap(values, step_level0=100, frame=Frame((150, 100), 1.0))
    labels = patchwise_labels(heatmap, (30, 20))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels[:, :20], 0)
    np.testing.assert_array_equal(labels[:, 20:], 1)
