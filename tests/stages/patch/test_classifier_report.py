"""The patch classifier's report on patches counted by hand, and inside a run's evaluation."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from h2g.evaluation.patches import (
    LabelledPatches,
    dice_by_threshold,
    labelled_patches,
    patch_report,
)
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.stages.evaluate_run import evaluate_run
from h2g.stages.prepare.prepare_run import index_cohort
from tests.stages.drawn_run import ColourNetworks, draw_run


def patches(tumour: list[float], labels: list[int], slide: str = "a") -> LabelledPatches:
    values = np.array([[1 - p, p] for p in tumour], np.float32)
    return LabelledPatches(slide, values, np.array(labels))


def heatmap(tumour: list[list[float]]) -> Heatmap:
    values = np.array(tumour, np.float32)
    return Heatmap(np.stack([1 - values, values], -1), 64.0, Frame((128, 64), 1.0))


def test_report_by_hand() -> None:
    first = patches([0.1, 0.4, 0.8, 0.95], [0, 1, 0, 1])
    second = patches([0.9, 0.7], [1, 1], slide="b")
    report = patch_report([first, second], 2)
    # a: 2 of 4 right; of the 4 pairs tumour against background 3 are in order. b: no background.
    assert report.slides["accuracy"].tolist() == [0.5, 1.0]
    assert report.slides["auc"].tolist() == [0.75, pytest.approx(np.nan, nan_ok=True)]
    assert report.confusion.tolist() == [[1, 1], [1, 3]]
    # Bins .1, .4, .7, .8 hold one patch each, .9 two: shares 0, 1, 1, 0, 1.
    assert report.calibration["patches"].tolist() == [1, 1, 1, 1, 2]
    gaps = 0.1 + 0.6 + 0.3 + 0.8 + 2 * (1 - (0.95 + 0.9) / 2)
    assert report.ece == pytest.approx(gaps / 6)


def test_patches_without_a_value_are_ignored() -> None:
    found = Heatmap(np.array([[[0.2, 0.8], [0, 0]]], np.float32), 64.0, Frame((128, 64), 1.0))
    index = pd.DataFrame({"row": [0, 0], "col": [0, 1], "label": [1, 1]})
    assert labelled_patches("a", found, index).labels.tolist() == [1]


def test_dice_by_threshold_by_hand() -> None:
    # Two cells; the left one is tumour. Above .6 only the left is found, below both are.
    dice = dice_by_threshold([(heatmap([[0.9, 0.6]]), np.array([[1, 0]], np.uint8))])
    assert dice[0.5] == pytest.approx(2 / 3)
    assert dice[0.6] == 1  # not above it
    assert dice[0.9] == 0


def test_the_report_of_a_run_is_made_once(tmp_path: Path) -> None:
    run = draw_run(tmp_path)
    index_cohort(run, jobs=1)
    evaluate_run(run, "test", open_network=ColourNetworks())
    folder = run.path / "evaluation" / "test"
    document = json.loads((folder / "classifier.json").read_text())
    # The colour rule is right on every labelled patch.
    assert document["accuracy"]["mean"] == 1
    assert document["confusion"][0][1] == document["confusion"][1][0] == 0
    assert document["chosen_threshold"] == 0.5
    # The lowest of 10 rows of patches extends beyond the field, onto white.
    assert document["ece"] < 0.05
    text = (folder / "classifier.md").read_text()
    assert "mean Dice on test is 1.000 there, and 1.000 at 0.5" in text
    assert cv2.imread(str(folder / "classifier.png")).std() > 5
    time = (folder / "classifier.json").stat().st_mtime_ns
    evaluate_run(run, "test", open_network=ColourNetworks())
    assert (folder / "classifier.json").stat().st_mtime_ns == time
