from __future__ import annotations

import numpy as np
import pytest

from h2g.annotations.raster import UNKNOWN
from h2g.evaluation.confusion import Confusion, count_pixels, majority, total

# 100 pixels: 60 background, of which 50 found; 40 tumour, of which 30 found.
COUNTS = Confusion(np.array([[50, 10], [10, 30]]))


def test_scores_by_hand() -> None:
    assert COUNTS.accuracy == pytest.approx(0.8)
    assert COUNTS.mean_accuracy == pytest.approx((50 / 60 + 30 / 40) / 2)
    assert COUNTS.mean_iou == pytest.approx((50 / 70 + 30 / 50) / 2)
    assert COUNTS.weighted_iou == pytest.approx(0.6 * 50 / 70 + 0.4 * 30 / 50)
    np.testing.assert_allclose(COUNTS.precision, [50 / 60, 30 / 40])
    np.testing.assert_allclose(COUNTS.recall, [50 / 60, 30 / 40])
    np.testing.assert_allclose(COUNTS.f1, [100 / 120, 60 / 80])


def test_a_class_that_is_nowhere_does_not_count() -> None:
    only = Confusion(np.array([[9, 0], [0, 0]]))
    scores = (only.accuracy, only.mean_accuracy, only.mean_iou, only.weighted_iou)
    assert scores == (1, 1, 1, 1)
    assert np.isnan(only.f1[1])
    false = Confusion(np.array([[8, 1], [0, 0]]))
    assert false.mean_accuracy == pytest.approx(8 / 9)
    assert false.mean_iou == pytest.approx(8 / 9 / 2)
    assert np.isnan(Confusion(np.zeros((2, 2), int)).accuracy)


def test_pixels_are_counted_where_the_truth_is_known() -> None:
    truth = np.array([[0, 1, 2], [1, UNKNOWN, 0]], np.uint8)
    found = np.array([[0, 1, 1], [0, 2, 0]], np.uint8)
    confusion = count_pixels(found, truth, 3)
    np.testing.assert_array_equal(confusion.counts, [[2, 0, 0], [1, 1, 0], [0, 1, 0]])
    both = total([confusion, confusion], 3)
    np.testing.assert_array_equal(both.counts, 2 * confusion.counts)
    assert both.accuracy == confusion.accuracy


def test_a_cell_has_the_class_of_most_known_pixels() -> None:
    labels = np.array(
        [
            [0, 1, UNKNOWN, UNKNOWN],
            [1, 1, UNKNOWN, 1],
            [0, 0, UNKNOWN, UNKNOWN],
            [1, 1, UNKNOWN, UNKNOWN],
        ],
        np.uint8,
    )
    np.testing.assert_array_equal(majority(labels, 2, 2), [[1, 1], [0, UNKNOWN]])
    np.testing.assert_array_equal(majority(labels, 4, 2), labels)
