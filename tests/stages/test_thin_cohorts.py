"""Sparse cohorts: training works, or a sentence explains why not."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections import Counter

import keras
import pytest

from h2g.data.patch_index import read_patch_index, write_patch_index
from h2g.data.patch_source import labelled_slides
from h2g.errors import TrainingError
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, start_run
from h2g.recipes.clustering import ClusteringSettings
from h2g.stages.patch.train_patch import training_batches
from h2g.stages.run_chain import train_run
from tests.small_patch_network import small_patch_network


def test_one_slide_per_grade_is_enough_to_train(trained_run, own_run, caplog):
    grades = Counter(row.grade for row in trained_run.cohort.split("train"))
    assert set(grades.values()) == {1}
    assert len(grades) == 3
    assert {row.grade for row in trained_run.cohort.split("val")} < {*grades}
    assert trained_run.is_done("refinement")
    # It is reported once in one line, and not again by a rerun with nothing to do.
    forget_all(own_run)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            train_run(own_run, ("prepare",))
    warnings = [r.message for r in caplog.records if "no slide of grade" in r.message]
    assert len(warnings) == 1
    assert "no slide of grade 'grade 2', 'grade 3' in split 'val'" in warnings[0]


def test_a_class_of_three_patches_is_reported_and_drawn_repeatedly(own_run, caplog):
    keep_tumour_patches(own_run, 3)
    forget_all(own_run)
    with caplog.at_level(logging.WARNING):
        train_run(own_run, ("prepare",))
    assert "split 'train' has only 3 patches of class 'tumour'" in caplog.text
    # One slide of three has tumour, in half of its draws: 1/6 of 96.
    with training_batches(own_run, labelled_slides(own_run, "train"), 0) as batches:
        drawn = sum(int(labels.numpy()[:, 1].sum()) for _, labels in batches.take(12))
    assert 3 < drawn < 40


def test_more_clusters_than_patches_are_refused(trained_run, tmp_path):
    features = tmp_path / "model.keras"
    keras.utils.set_random_seed(2)
    small_patch_network(size_px=32).save(features)
    clustering = ClusteringSettings(features=str(features), batches=1, batch_size=4, clusters=5)
    recipe = trained_run.recipe.model_copy(update={"clustering": clustering})
    run = start_run(tmp_path / "run", read_cohort(trained_run.cohort.path), recipe)
    shutil.copytree(trained_run.path / "index", run.path / "index")
    shutil.copytree(trained_run.path / "tissue", run.path / "tissue")
    sentence = r"Only \d of the drawn patches differ.*5 clusters.*clustering.batches"
    with pytest.raises(TrainingError, match=sentence) as caught:
        train_run(run, ("prepare", "cluster"))
    assert caught.value.exit_code == 1
    assert not run.is_done("cluster")


def keep_tumour_patches(run: Run, count: int) -> None:
    """Removes all other tumour patches from the training slides' indexes."""
    for slide in labelled_slides(run, "train"):
        file = run.index_file(slide.name)
        index = read_patch_index(file)
        tumour = index.table.index[index.table["label"] == 1]
        kept, count = tumour[:count], max(0, count - len(tumour))
        table = index.table.drop(index=tumour.difference(kept)).reset_index(drop=True)
        write_patch_index(dataclasses.replace(index, table=table), file)


def forget_all(run: Run) -> None:
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(record | {"stages": {}}))
