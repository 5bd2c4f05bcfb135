"""Scores worked by hand."""

import numpy as np
import pytest

from h2g.annotations.raster import UNKNOWN
from h2g.evaluation.scores import (
    Counts,
    Evaluation,
    Score,
    SlideScores,
    count_classes,
    mean_score,
    summarise,
)

CLASSES = ("background", "tumour")
TWO_CLASSES = ("background", "invasive", "in situ")


def test_counts_and_scores_by_hand() -> None:
    truth = np.array([[1, 1, 1, 1], [0, 0, 0, 0]], np.uint8)
    found = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.uint8)
    counts = count_classes(found, truth, CLASSES)
    # true 4, predicted 5, both 3.
    assert counts == {"tumour": Counts(true=4, predicted=5, both=3)}
    # recall = TP / true = 3/4, precision = TP / predicted = 3/5, Dice = 2 * 3 / (4 + 5) = 2/3.
    assert counts["tumour"].score == Score(recall=3 / 4, precision=3 / 5, dice=2 / 3)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(true=0, predicted=0, both=0), Score(1.0, 1.0, 1.0)),
        (Counts(true=0, predicted=7, both=0), Score(0.0, 0.0, 0.0)),
        (Counts(true=7, predicted=0, both=0), Score(0.0, 0.0, 0.0)),
    ],
    ids=["both empty", "truth empty", "nothing predicted"],
)
def test_empty_cases(counts: Counts, expected: Score) -> None:
    assert counts.score == expected


def test_classes_are_counted_apart() -> None:
    truth = np.array([[1, 1, 2, 2, 0, 0]], np.uint8)
    found = np.array([[1, 2, 2, 2, 2, 0]], np.uint8)
    counts = count_classes(found, truth, TWO_CLASSES)
    assert counts["invasive"] == Counts(true=2, predicted=1, both=1)
    assert counts["in situ"] == Counts(true=2, predicted=4, both=2)
    slide = SlideScores("a", "1", {"refined": counts}, {})
    # invasive 2 * 1 / (2 + 1) = 2/3, in situ 2 * 2 / (2 + 4) = 2/3; recall (1/2 + 1) / 2.
    assert slide.score("refined").dice == pytest.approx(2 / 3)
    assert slide.score("refined").recall == pytest.approx(3 / 4)
    assert slide.score("refined").precision == pytest.approx((1 + 1 / 2) / 2)
    assert slide.score("refined", "invasive").recall == 1 / 2


def test_summary_is_the_macro_mean_with_ddof_0() -> None:
    slides = [Score(1.0, 0.5, 0.8), Score(0.5, 0.5, 0.4), Score(0.0, 0.5, 0.6)]
    summary = summarise(slides)
    assert summary["dice"].mean == pytest.approx(0.6)
    # Deviations 0.2, -0.2, 0: sqrt(0.08 / 3) with ddof 0; ddof 1 would give 0.2.
    assert summary["dice"].sd == pytest.approx((0.08 / 3) ** 0.5)
    assert summary["precision"].sd == 0
    assert mean_score(slides) == Score(0.5, 0.5, pytest.approx(0.6))


def test_labels_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="the truth has"):
        count_classes(np.zeros((2, 2)), np.zeros((1, 2)), CLASSES)


def test_grades_hold_their_slides() -> None:
    slides = tuple(SlideScores(name, grade, {}, {}) for name, grade in ["a2", "b1", "c2"])
    evaluation = Evaluation(
        "test", ("tumour",), (8, 8), 64.0, ("patchwise",), "patchwise", ("patchwise",), slides
    )
    grades = evaluation.grades()
    assert {grade: [s.slide for s in found] for grade, found in grades.items()} == {
        "1": ["b"],
        "2": ["a", "c"],
    }


def test_pixels_outside_the_annotated_part_do_not_count() -> None:
    truth = np.array([[1, 0, UNKNOWN, UNKNOWN]], np.uint8)
    counts = count_classes(np.array([[1, 1, 1, 0]], np.uint8), truth, ("background", "tumour"))
    assert counts == {"tumour": Counts(true=1, predicted=2, both=1)}
