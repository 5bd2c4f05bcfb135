from __future__ import annotations

import numpy as np
import pytest

from h2g.annotations.raster import UNKNOWN
from h2g.evaluation.lesions import Lesions, match_lesions, together


def labels(*squares: tuple[int, int, int]) -> np.ndarray:
    """(40, 40) uint8 with squares of label 1: row, column, side."""
    image = np.zeros((40, 40), np.uint8)
    for row, col, side in squares:
        image[row : row + side, col : col + side] = 1
    return image


def test_matched_one_to_one_by_overlap() -> None:
    truth = labels((0, 0, 10), (20, 20, 10), (35, 0, 4))
    # 9 of 10 rows: IoU .9; shifted by 4 of 10: IoU 60/140; one that is nowhere true.
    predicted = labels((20, 24, 10), (0, 35, 3))
    predicted[1:10, :10] = 1
    found = match_lesions(predicted, truth, 1, pixel_mm2=0.01)
    np.testing.assert_allclose(found.true_mm2, [1.0, 1.0, 0.16])
    assert found.is_found.tolist() == [True, False, False]
    assert found.predicted == 3
    assert (found.precision, found.recall) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found.f1 == pytest.approx(1 / 3)
    loose = match_lesions(predicted, truth, 1, pixel_mm2=0.01, least_iou=0.4)
    assert loose.is_found.tolist() == [True, True, False]


def test_one_prediction_over_two_lesions_finds_one_at_most() -> None:
    truth = labels((0, 0, 10), (0, 12, 10))
    predicted = np.zeros_like(truth)
    predicted[:10, :22] = 1
    found = match_lesions(predicted, truth, 1, pixel_mm2=1.0, least_iou=0.1)
    assert found.found == 1
    assert found.predicted == 1
    assert match_lesions(predicted, truth, 1, pixel_mm2=1.0).found == 0  # 100 / 220


def test_small_ones_and_unknown_pixels_are_ignored() -> None:
    truth = labels((0, 0, 10), (20, 20, 2))
    predicted = labels((0, 0, 10), (30, 30, 2), (20, 0, 10))
    truth[18:32, :12] = UNKNOWN
    found = match_lesions(predicted, truth, 1, pixel_mm2=0.01, least_mm2=0.05)
    assert found.true_mm2.tolist() == [1.0]
    assert (found.found, found.predicted) == (1, 1)
    assert match_lesions(predicted, truth, 1, pixel_mm2=0.01).predicted == 2


def test_over_slides_and_by_size() -> None:
    one = Lesions(np.array([0.1, 2.0]), np.array([False, True]), 3)
    other = Lesions(np.empty(0), np.empty(0, bool), 1)
    both = together([one, other])
    assert (both.predicted, both.found) == (4, 1)
    assert both.recall == 0.5
    assert both.within(0, 1).recall == 0
    assert both.within(1, 10).recall == 1
    assert np.isnan(other.recall)
    assert np.isnan(together([]).f1)
