"""A run's stages: their order, resuming them, and reusing them."""

import json
import shutil

import pytest

from h2g.errors import RunError, WrongUseError
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, start_run
from h2g.stages.chain import chain
from h2g.stages.run_chain import reuse_stage, train_run, training_summary
from h2g.training.resources import Resources

ALL = ("prepare", "patch", "heatmaps", "refinement")


def fresh(run: Run, path, **changes) -> Run:
    recipe = run.recipe.model_copy(update=changes)
    return start_run(path, read_cohort(run.cohort.path), recipe)


def forget(run: Run, stage: str) -> None:
    record = json.loads((run.path / "run.json").read_text())
    del record["stages"][stage]
    (run.path / "run.json").write_text(json.dumps(record))


def test_all_stages_are_done_and_summarised(trained_run):
    rows = {row["stage"]: row for row in training_summary(trained_run)}
    assert tuple(rows) == ALL
    assert all(row["done"] and row["seconds"] > 0 for row in rows.values())
    assert rows["patch"]["epochs"] == 3
    assert 1 <= rows["refinement"]["best_epoch"] <= 2
    assert 0 <= rows["refinement"]["val_slide_dice"] <= 1
    assert "val_loss" not in rows["heatmaps"]


def test_a_rerun_does_nothing(trained_run):
    files = [file for file in trained_run.path.rglob("*") if file.is_file()]
    before = {file: file.stat().st_mtime_ns for file in files}
    train_run(trained_run)
    assert {file: file.stat().st_mtime_ns for file in files} == before


def test_without_refinement_there_are_two_stages(trained_run, tmp_path):
    run = fresh(trained_run, tmp_path / "run", refinement=None)
    assert [kind.name for kind in chain(run.recipe)] == ["prepare", "patch"]
    with pytest.raises(WrongUseError, match="'small' has no heatmaps stage, only prepare, patch"):
        train_run(run, ("heatmaps",))


@pytest.mark.parametrize("stage", ["patch", "heatmaps", "refinement"])
def test_a_missing_earlier_stage_is_named(trained_run, tmp_path, stage):
    run = fresh(trained_run, tmp_path / "run")
    sentence = f"the {stage} stage needs the prepare stage.*Add --stage prepare"
    with pytest.raises(RunError, match=sentence):
        train_run(run, (stage,))


def test_the_nearest_missing_stage_is_named(own_run):
    for stage in ("heatmaps", "refinement"):
        forget(own_run, stage)
    with pytest.raises(RunError, match="refinement stage needs the heatmaps stage"):
        train_run(own_run, ("refinement",))


def test_missing_heatmaps_are_made_again(own_run):
    files = {file.name for file in (own_run.path / "heatmaps").iterdir()}
    shutil.rmtree(own_run.path / "heatmaps")
    own_run.model_file("refinement").unlink()
    train_run(own_run)
    assert {file.name for file in (own_run.path / "heatmaps").iterdir()} == files
    assert own_run.model_file("refinement").is_file()


def test_a_missing_classifier_under_finished_stages_is_reported(own_run):
    own_run.model_file("patch").unlink()
    with pytest.raises(RunError, match="the files of the patch stage, from which"):
        train_run(own_run)


def test_mirrored_is_refused_before_any_work(trained_run, tmp_path):
    refinement = trained_run.recipe.refinement.model_copy(update={"accumulation_steps": 6})
    run = fresh(trained_run, tmp_path / "run", refinement=refinement)
    with pytest.raises(WrongUseError, match="--strategy mirrored cannot accumulate"):
        train_run(run, resources=Resources("mirrored"))
    assert not (run.path / "index").exists()


def test_stage_one_is_reused_for_another_refinement(trained_run, tmp_path):
    refinement = trained_run.recipe.refinement.model_copy(update={"inputs": "image"})
    run = fresh(trained_run, tmp_path / "run", refinement=refinement)
    with pytest.raises(RunError, match="reuse its patch stage first"):
        reuse_stage(run, trained_run.path / "heatmaps")
    reuse_stage(run, trained_run.path / "patch")
    reuse_stage(run, trained_run.path / "heatmaps")
    assert run.is_done("patch")
    assert run.is_done("heatmaps")
    model = run.model_file("patch")
    assert model.read_bytes() == trained_run.model_file("patch").read_bytes()
    reuse_stage(run, trained_run.path / "patch")  # nothing to do
    assert not list(run.path.glob("tmp*"))


def test_a_stage_of_another_recipe_is_not_reused(trained_run, tmp_path):
    run = fresh(trained_run, tmp_path / "run", seed=6)
    with pytest.raises(RunError, match="cannot be reused, because the runs differ in seed"):
        reuse_stage(run, trained_run.path / "patch")
    known = "give RUN/clusters, RUN/patch, RUN/patch/folds or RUN/heatmaps"
    with pytest.raises(WrongUseError, match=known):
        reuse_stage(run, trained_run.path / "index")
    other = fresh(trained_run, tmp_path / "other")
    with pytest.raises(RunError, match="patch stage is not done there"):
        reuse_stage(other, run.path / "patch")
