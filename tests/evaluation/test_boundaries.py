"""Distances between outlines, on squares whose distances are known."""

import numpy as np
import pytest

from h2g.evaluation.boundaries import BoundaryScore, boundary_score


def square(left: int, *, side: int = 20) -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[20 : 20 + side, left : left + side] = True
    return mask


def test_equal_masks_have_no_distance() -> None:
    score = boundary_score(square(10), square(10), pixel_um=(8, 8))
    assert (score.hausdorff95_um, score.f1) == (0, 1)


def test_a_shift_to_the_right_is_measured_in_um_along_x() -> None:
    # 4 pixels to the right. Upper and lower edges lie on each other but for 4 pixels: of 76
    # outline pixels some 18 + 2 * 3 are off, the left and right edges by 4 pixels of 100 um.
    score = boundary_score(square(10), square(14), pixel_um=(100, 1))
    assert score.hausdorff95_um == pytest.approx(400, abs=1)
    down = boundary_score(square(10).T, square(14).T, pixel_um=(100, 1))
    assert down.hausdorff95_um == pytest.approx(4)
    assert down.f1 == 1
    assert 0.6 < score.f1 < 0.8


def test_an_empty_mask() -> None:
    empty = np.zeros((64, 64), bool)
    both = boundary_score(empty, empty, pixel_um=(8, 8))
    assert (both.hausdorff95_um, both.f1) == (0, 1)
    one = boundary_score(empty, square(10), pixel_um=(8, 8))
    assert (one.hausdorff95_um, one.f1) == (None, 0)


def test_the_edge_of_the_field_is_no_outline() -> None:
    # Both reach the lower and the right edge; only the inner corner's two sides count.
    left, right = (square(start, side=60) for start in (10, 14))
    score = boundary_score(left, right, pixel_um=(100, 100))
    assert score.hausdorff95_um == 400


def test_the_smaller_share_outside_95_percent_does_not_count() -> None:
    # One pixel far away among 76 on the outline.
    speck = square(10)
    speck[60, 60] = True
    assert boundary_score(speck, square(10), pixel_um=(8, 8)).hausdorff95_um == 0


def test_outlines_along_the_annotated_part_do_not_count() -> None:
    truth = np.zeros((20, 30), bool)
    truth[5:15, 5:20] = True
    unknown = np.zeros_like(truth)
    unknown[:, 15:] = True
    cut = truth & ~unknown
    elsewhere = truth.copy()
    elsewhere[:, 15:] = True
    perfect = boundary_score(elsewhere, cut, pixel_um=(1.0, 1.0), unknown=unknown)
    assert perfect == BoundaryScore(0.0, 1.0)
