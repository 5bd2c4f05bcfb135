"""The study of the refinement stage: what is planned and shared, what a failure costs, tables."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
import refinement_study
from refinement_study import is_done, plan, study
from refinement_study_tables import scores_file, study_table

from h2g.folders.cohort import read_cohort
from h2g.folders.run import start_run
from h2g.recipes.reading import load_recipe


def by_name(runs):
    return {run.variant: run for run in runs}


def test_nothing_is_trained_twice(tmp_path):
    runs = plan([Path("c.csv")], [0, 4], tmp_path)
    assert [run.variant for run in runs] == [*refinement_study.VARIANTS] * 2
    seed = tmp_path / "seed_4"
    reused = {name: run.reused for name, run in by_name(runs[5:]).items()}
    patch, heatmaps = seed / "baseline" / "patch", seed / "baseline" / "heatmaps"
    crossed = seed / "cross-fit"
    assert reused == {
        "baseline": (),
        "cross-fit": (patch,),
        "dice-crossentropy": (patch, heatmaps),
        "heatmap-noise": (patch, heatmaps),
        "cosine": (patch, heatmaps),
        "all": (patch, crossed / "patch" / "folds", crossed / "heatmaps"),
    }
    # All alone: it trains its own folds, and what it is compared with is there.
    alone = by_name(plan([Path("c.csv")], [0], tmp_path, variants=["all"]))
    assert [*alone] == ["baseline", "all"]
    assert alone["all"].reused == (tmp_path / "seed_0" / "baseline" / "patch",)


def test_every_override_is_one_of_the_recipe(tmp_path):
    for run in plan([Path("c.csv")], [3], tmp_path):
        assert load_recipe("demo", run.overrides).seed == 3
    recipe = load_recipe("demo", run.overrides)
    assert run.variant == "all"
    assert (recipe.refinement.cross_fit, recipe.refinement.loss) == (3, "dice-crossentropy")
    assert recipe.refinement.augmentation.heatmap_noise > 0


def test_a_cohort_a_seed_or_one_for_all(tmp_path):
    runs = plan([Path("a.csv"), Path("b.csv")], [0, 1], tmp_path, variants=["baseline"])
    assert [run.cohort.name for run in runs] == ["a.csv", "b.csv"]
    with pytest.raises(ValueError, match="2 cohorts for 3 seeds"):
        plan([Path("a.csv"), Path("b.csv")], [0, 1, 2], tmp_path)


@pytest.fixture
def scored(phantom_cohort, tmp_path, monkeypatch):
    """What makes a run without training: its test slides score as they are told to."""
    dice = {"baseline": 0.8, "cross-fit": 0.9, "dice-crossentropy": 0.75}

    def make(run, base, jobs):
        opened = start_run(run.folder, read_cohort(phantom_cohort), load_recipe(base))
        if run.variant not in dice:
            return False
        rows = [
            {"slide": row.name, "grade": row.grade, "variant": variant, "class": "tumour"}
            | {"recall": 1.0, "precision": 1.0, "dice": dice[run.variant] + shift + place / 100}
            for place, row in enumerate(opened.cohort.split("test"))
            for variant, shift in (("patchwise", -0.3), ("refined", run.seed / 10))
        ]
        opened.model_file("refinement").parent.mkdir(exist_ok=True)
        opened.model_file("refinement").touch()
        scores_file(run.folder).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(scores_file(run.folder), index=False)
        return True

    monkeypatch.setattr(refinement_study, "make", make)
    return tmp_path


def test_tables_by_hand_and_a_failure_costs_its_row_alone(scored):
    runs = plan([Path("c.csv")], [0, 1], scored)
    failed = study(runs, scored, "demo", jobs=1)
    assert {run.variant for run in failed} == {"heatmap-noise", "cosine", "all"}
    text = (scored / "study.md").read_text()
    rows = {
        cells[0]: cells[1:]
        for line in text.splitlines()
        if line.startswith("| ") and "variant" not in line
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    # Two slides, 0 and 0.01 above; seed 1 is 0.1 above seed 0.
    assert rows["baseline"] == ["0.8550", "", "", "0.8050", "0.9050"]
    assert rows["cross-fit"] == [
        "0.9550",
        "+0.1000 [+0.1000, +0.1000]",
        "100%",
        "0.9050",
        "1.0050",
    ]
    assert rows["dice-crossentropy"][1:3] == ["-0.0500 [-0.0500, -0.0500]", "0%"]
    # The classifier's own segmentation: of the baseline alone, the same at both seeds.
    assert rows["patch-wise"][0] == "0.5050"
    assert "all" not in rows
    table = pd.read_csv(scored / "study.csv")
    assert len(table) == 2 * 2 * 4
    assert table["patient"].nunique() == 2


def test_what_is_done_is_skipped_and_what_is_newer_scored_again(scored, monkeypatch):
    runs = plan([Path("c.csv")], [0], scored, variants=["cross-fit"])
    assert study(runs, scored, "demo", jobs=1) == []
    monkeypatch.setattr(refinement_study, "make", lambda *_: pytest.fail("made again"))
    assert study(runs, scored, "demo", jobs=1) == []
    os.utime(runs[1].folder / "refinement" / "model.keras", (2e9, 2e9))
    assert [is_done(run) for run in runs] == [True, False]


def test_no_run_is_an_empty_table(tmp_path):
    assert study_table([], baseline="baseline").empty
