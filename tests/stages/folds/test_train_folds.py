"""Cross-fitted heatmaps: each comes from a classifier that has not seen the slide."""

from __future__ import annotations

import dataclasses
import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest

import h2g.stages.folds.train_folds as folds_module
from h2g.data.patch_index import read_patch_index, write_patch_index
from h2g.data.patch_source import labelled_slides
from h2g.engines.engine import open_network
from h2g.errors import CohortError, RunError, TrainingError
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, open_run, start_run
from h2g.models.registry import MODELS, PATCH_MODELS, Architecture
from h2g.recipes.reading import load_recipe
from h2g.recipes.recipe import Recipe
from h2g.slides.tiff_files import read_heatmap
from h2g.stages.chain import STAGES, chain
from h2g.stages.folds.fold_models import fold_models, fold_of_slides
from h2g.stages.folds.train_folds import check_folds, train_folds
from h2g.stages.heatmaps.make_heatmaps import make_heatmaps, seen_heatmap
from h2g.stages.patch import train_patch
from h2g.stages.patch.classify import classify_slide
from h2g.stages.refinement.train_refinement import _examples
from h2g.stages.run_chain import reuse_stage, train_run, training_summary
from h2g.training.callbacks import KeepState
from h2g.training.resources import Resources

# Three slides of train. Both stages are small enough for a test.
SMALL = (
    "seed=5",
    "preprocessing.patch.size_px=32",
    "patch.model=tiny",
    "patch.options={}",
    "patch.batch_size=8",
    "patch.steps_per_epoch=3",
    "patch.validation_steps=2",
    "patch.epochs=3",
    "refinement.input_px=64",
    "refinement.options={filters: [4, 8]}",
    "refinement.batch_size=2",
    "refinement.steps_per_epoch=2",
    "refinement.epochs=2",
)


def tiny(input_shape, num_classes) -> keras.Model:
    """A patch classifier whose training steps are compiled in a second instead of twenty."""
    patch = keras.Input(input_shape, name="patch")
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(patch)
    x = keras.layers.GlobalAveragePooling2D()(x)
    name = "output_0_probabilities"
    return keras.Model(patch, keras.layers.Dense(num_classes, activation="softmax", name=name)(x))


@pytest.fixture(scope="module", autouse=True)
def tiny_model():
    with pytest.MonkeyPatch.context() as patch:
        architecture = Architecture(tiny, "patch", parameters=0, source="this test")
        for models in (PATCH_MODELS, MODELS):
            patch.setitem(models, "tiny", architecture)
        yield


def start(cohort, path, *changes: str) -> Run:
    return start_run(path, read_cohort(cohort), load_recipe("demo", (*SMALL, *changes)))


@pytest.fixture(scope="module")
def cross_fitted(phantom_cohort, tmp_path_factory) -> Run:
    """All stages done; read only."""
    folder = tmp_path_factory.mktemp("folds") / "run"
    run = start(phantom_cohort, folder, "refinement.cross_fit=3")
    train_run(run)
    return run


@pytest.fixture
def own_folds(cross_fitted, tmp_path) -> Run:
    shutil.copytree(cross_fitted.path, tmp_path / "own")
    return open_run(tmp_path / "own")


def stage_names(recipe: Recipe) -> tuple[str, ...]:
    return tuple(kind.name for kind in chain(recipe))


def names(run: Run, split: str) -> set[str]:
    return {row.name for row in run.cohort.split(split)}


def test_the_stage_is_between_classifier_and_heatmaps(cross_fitted):
    stages = ("prepare", "patch", "folds", "heatmaps", "refinement")
    assert stage_names(cross_fitted.recipe) == stages
    assert "folds" not in stage_names(load_recipe("demo"))
    rows = {row["stage"]: row for row in training_summary(cross_fitted)}
    assert tuple(rows) == stages
    assert all(row["done"] for row in rows.values())
    # 3 classifiers of 3 epochs.
    assert rows["folds"]["epochs"] == 9
    each = [fold["val_loss"] for fold in rows["folds"]["folds"]]
    assert rows["folds"]["val_loss"] == pytest.approx(np.mean(each))
    assert len(set(each)) == 3


def test_files_are_at_the_documented_paths(cross_fitted):
    for file in fold_models(cross_fitted):
        files = {file.name for file in file.parent.iterdir()}
        assert files == {"model.keras", "history.csv", "history.png"}
    folder = cross_fitted.path / "heatmaps"
    assert {file.stem for file in (folder / "cross_fit").iterdir()} == names(cross_fitted, "train")
    assert {file.stem for file in folder.glob("*.tiff")} == names(cross_fitted, "val")


def test_training_heatmaps_are_of_the_classifier_that_has_not_seen_the_slide(cross_fitted):
    fold_of = fold_of_slides(cross_fitted)
    assert sorted(fold_of.values()) == [1, 2, 3]
    recipe = cross_fitted.recipe
    for fold, file in enumerate(fold_models(cross_fitted), start=1):
        network = open_network(file, engine="keras", many=True)
        for row in cross_fitted.cohort.split("train"):
            found = classify_slide(row.slide, row.mpp, network, recipe.preprocessing, threads=1)
            kept = read_heatmap(seen_heatmap(cross_fitted, row)).values
            same = np.allclose(found.heatmap.values, kept, atol=1e-5)
            assert same == (fold == fold_of[row.name])


def test_the_refinement_learns_from_cross_fitted_heatmaps(cross_fitted):
    seen = {
        split: {example.heatmap_file for example in _examples(cross_fitted, split, jobs=1)}
        for split in ("train", "val")
    }
    folder = cross_fitted.path / "heatmaps"
    train = {folder / "cross_fit" / f"{name}.tiff" for name in names(cross_fitted, "train")}
    assert seen["train"] == train
    assert seen["val"] == {cross_fitted.heatmap_file(name) for name in names(cross_fitted, "val")}


def test_each_classifier_trains_without_its_fold_on_the_same_validation(own_folds, monkeypatch):
    shutil.rmtree(own_folds.path / "patch" / "folds")
    trained = []

    def note(run, *, train, validation, folder, part):
        trained.append(({slide.name for slide in train}, {slide.name for slide in validation}))
        raise TrainingError(f"noted {part}")

    monkeypatch.setattr(folds_module, "classifier_training", note)
    fold_of = fold_of_slides(own_folds)
    for fold in (1, 2, 3):
        with pytest.raises(TrainingError, match=f"noted fold {fold} of 3"):
            train_folds(own_folds, Resources())
        fold_models(own_folds)[fold - 1].parent.mkdir(parents=True)
        fold_models(own_folds)[fold - 1].touch()
    assert [train for train, _ in trained] == [
        {name for name, slide_fold in fold_of.items() if slide_fold != fold} for fold in (1, 2, 3)
    ]
    assert all(validation == names(own_folds, "val") for _, validation in trained)


def test_it_is_resumed_between_folds_and_within_one(own_folds, monkeypatch):
    lost = fold_models(own_folds)[1]
    before = {file: file.stat().st_mtime_ns for file in fold_models(own_folds) if file != lost}
    wanted = pd.read_csv(lost.parent / "history.csv").drop(columns="seconds")
    shutil.rmtree(lost.parent)
    original = KeepState.on_epoch_end

    def stopped(self, epoch, logs=None):
        original(self, epoch, logs)
        raise TrainingError("stopped")

    monkeypatch.setattr(KeepState, "on_epoch_end", stopped)
    with pytest.raises(TrainingError, match="stopped"):
        train_folds(own_folds, Resources())
    assert not lost.exists()
    assert (lost.parent / "checkpoints" / "last.npz").is_file()
    monkeypatch.setattr(KeepState, "on_epoch_end", original)
    train_folds(own_folds, Resources())
    assert {file: file.stat().st_mtime_ns for file in before} == before
    found = pd.read_csv(lost.parent / "history.csv").drop(columns="seconds")
    # Threads sum in any order, so the values are close but not equal.
    pd.testing.assert_frame_equal(found, wanted, rtol=0.02, atol=1e-3)
    assert not (lost.parent / "checkpoints").exists()


def test_a_missing_fold_under_finished_stages_is_reported(own_folds):
    fold_models(own_folds)[0].unlink()
    assert not STAGES["folds"].is_finished(own_folds)
    with pytest.raises(RunError, match="the files of the folds stage, from which"):
        train_run(own_folds)


def test_heatmaps_older_than_their_classifier_are_made_again(own_folds):
    row = own_folds.cohort.split("train")[0]
    file, fold = seen_heatmap(own_folds, row), fold_of_slides(own_folds)[row.name]
    before = file.stat().st_mtime_ns
    fold_models(own_folds)[fold - 1].touch()
    make_heatmaps(own_folds, threads=1)
    assert file.stat().st_mtime_ns > before


def test_folds_and_heatmaps_are_reused_with_the_same_folds_only(
    cross_fitted, phantom_cohort, tmp_path
):
    changes = "refinement.cross_fit=3", "refinement.loss=dice-crossentropy"
    same = start(phantom_cohort, tmp_path / "same", *changes)
    with pytest.raises(RunError, match="reuse its patch stage first"):
        reuse_stage(same, cross_fitted.path / "patch" / "folds")
    reuse_stage(same, cross_fitted.path / "patch")
    assert not (same.path / "patch" / "folds").exists()
    with pytest.raises(RunError, match="reuse its patch/folds first"):
        reuse_stage(same, cross_fitted.path / "heatmaps")
    reuse_stage(same, cross_fitted.path / "patch" / "folds")
    reuse_stage(same, cross_fitted.path / "heatmaps")
    assert all(STAGES[stage].is_finished(same) for stage in ("patch", "folds", "heatmaps"))
    assert not (same.path / "patch" / "folds" / "folds").exists()
    copied = [seen_heatmap(same, row) for row in same.cohort.split("train")]
    assert all(file.is_file() for file in copied)

    for cross_fit in ("null", "2"):
        change = f"refinement.cross_fit={cross_fit}"
        other = start(phantom_cohort, tmp_path / f"other_{cross_fit}", change)
        reuse_stage(other, cross_fitted.path / "patch")
        for stage in ("heatmaps", "patch/folds"):
            with pytest.raises(RunError, match="the runs differ in refinement.cross_fit"):
                reuse_stage(other, cross_fitted.path / stage)


def test_more_folds_than_patients_are_refused_before_any_work(phantom_cohort, tmp_path):
    run = start(phantom_cohort, tmp_path / "run", "refinement.cross_fit=4")
    with pytest.raises(
        CohortError, match="cross_fit 4 needs as many patients.*there are 3"
    ) as caught:
        train_run(run)
    assert caught.value.exit_code == 2
    assert not (run.path / "index").exists()


def test_slides_of_one_patient_count_once(phantom_cohort, tmp_path):
    run = start(phantom_cohort, tmp_path / "run", "refinement.cross_fit=3")
    slides = tuple(
        dataclasses.replace(row, patient="one") if row.split == "train" else row
        for row in run.cohort.slides
    )
    run = dataclasses.replace(run, cohort=dataclasses.replace(run.cohort, slides=slides))
    with pytest.raises(CohortError, match="there are 1"):
        check_folds(run)


def test_a_fold_with_all_patches_of_a_class_is_refused_before_training(own_folds, monkeypatch):
    keeper = own_folds.cohort.split("train")[0].name
    for slide in labelled_slides(own_folds, "train"):
        if slide.name != keeper:
            file = own_folds.index_file(slide.name)
            index = read_patch_index(file)
            table = index.table.assign(label=0)
            write_patch_index(dataclasses.replace(index, table=table), file)
    record = json.loads((own_folds.path / "run.json").read_text())
    record["stages"] = {}
    (own_folds.path / "run.json").write_text(json.dumps(record))
    fold = fold_of_slides(own_folds)[keeper]
    monkeypatch.setattr(train_patch, "train_patch", lambda *_: pytest.fail("trained"))
    sentence = rf"fold {fold} of 3 \({keeper}\) holds all training patches of class 'tumour'"
    with pytest.raises(CohortError, match=sentence):
        train_run(own_folds)
