"""Comparing runs: which rows there are, what is refused, what is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pandas as pd
import pytest
from click.testing import CliRunner

from h2g.cli.main import main
from h2g.errors import RunError, WrongUseError
from h2g.evaluation.compare import compare_runs
from h2g.stages.evaluate_run import evaluate_run
from tests.stages.drawn_run import ColourNetworks, draw_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A two-stage and a one-stage run of one classifier on the same slides, both evaluated."""
    folder = tmp_path_factory.mktemp("compared")
    made = {}
    for name, refines in (("two", True), ("one", False)):
        run = draw_run(folder / name, refines=refines)
        evaluate_run(run, "test", open_network=ColourNetworks())
        made[name] = run.path
    return made


def test_a_row_a_design_and_smoothing_once(runs: dict[str, Path], tmp_path: Path) -> None:
    comparison = compare_runs([runs["two"], runs["one"]], tmp_path / "out")
    names = [design.name for design in comparison.designs]
    # Both recipes are named "colour"; one classifier, one row more.
    assert len(names) == 3
    assert [name.endswith(", smoothed") for name in names] == [False, False, True]
    overall = comparison.overall.set_index("design")
    # The colour rule is right on every pixel; the patches' grid is not the tumour's edge.
    assert overall["dice_mean"].iloc[0] == pytest.approx(1, abs=0.01)
    assert comparison.dice.shape == (2, 3)
    assert sorted(comparison.by_grade.columns) == ["1_mean", "1_sd", "2_mean", "2_sd", "design"]
    assert len(comparison.tukey) == len(comparison.wilcoxon) == 3


def test_tables_and_plot_are_written(runs: dict[str, Path], tmp_path: Path) -> None:
    arguments = ["compare", str(runs["two"]), str(runs["one"]), "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["n"] == 2
    assert len(document["overall"]) == 3
    text = (tmp_path / "compare.md").read_text("utf-8")
    assert "With 2 slides, no pair can reach p < 0.05" in text
    assert len(pd.read_csv(tmp_path / "slides.csv")) == 6
    picture = cv2.imread(str(tmp_path / "dice.png"))
    assert picture is not None
    assert picture.std() > 5


def test_other_slides_and_other_annotations_are_refused(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    other = draw_run(tmp_path / "other", tumour_px=300)
    evaluate_run(other, "test", open_network=ColourNetworks())
    with pytest.raises(RunError, match="different annotations of slides of test"):
        compare_runs([runs["two"], other.path], tmp_path / "out")
    fewer = tmp_path / "fewer"
    shutil.copytree(runs["two"], fewer)
    scores = json.loads((fewer / "evaluation/test/scores.json").read_text())
    scores["slides"].pop()
    (fewer / "evaluation/test/scores.json").write_text(json.dumps(scores))
    with pytest.raises(RunError, match=r"different slides of test \(test_b\)"):
        compare_runs([runs["two"], fewer], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_evaluated_or_given_twice(runs: dict[str, Path], tmp_path: Path) -> None:
    bare = draw_run(tmp_path / "bare")
    with pytest.raises(RunError, match="not evaluated on test. Run: h2g evaluate"):
        compare_runs([bare.path], tmp_path / "out")
    with pytest.raises(WrongUseError, match="given twice"):
        compare_runs([runs["one"], runs["one"]], tmp_path / "out")
