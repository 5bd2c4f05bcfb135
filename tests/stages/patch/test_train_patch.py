import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pandas as pd
import pytest

from h2g.data.patch_index import read_patch_index
from h2g.errors import RunError, TrainingError
from h2g.folders.cohort import read_cohort
from h2g.folders.run import is_run, open_run, start_run
from h2g.recipes.reading import dump_recipe
from h2g.stages.patch.train_patch import (
    labelled_slides,
    train_patch,
    training_batches,
    validation_batches,
)
from h2g.stages.run_chain import train_run


def test_writes_model_history_and_curves(trained_run):
    folder = trained_run.stage_folder("patch")
    history = pd.read_csv(folder / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= {*history.columns}
    # Cosine over 9 steps: the rate after 3, 6 and 9 is 3e-3 (1 + cos(pi k / 3)) / 2.
    np.testing.assert_allclose(history["learning_rate"], [2.25e-3, 0.75e-3, 0], atol=1e-8)
    assert (folder / "history.png").exists()
    assert not (folder / "checkpoints").exists()
    model = keras.saving.load_model(folder / "model.keras")
    assert not model.compiled
    assert model.input_shape == (None, 32, 32, 3)


def test_labelled_slides_hold_the_index(trained_run):
    slides = labelled_slides(trained_run, "train")
    assert len(slides) == 3
    table = read_patch_index(trained_run.index_file(slides[0].name)).table
    assert slides[0].xy_level0.tolist() == table[["x_level0", "y_level0"]].to_numpy().tolist()
    assert slides[0].labels.tolist() == table["label"].tolist()


def test_a_run_without_index_is_refused(phantom_cohort, trained_run, tmp_path):
    run = start_run(tmp_path / "run", read_cohort(phantom_cohort), trained_run.recipe)
    with pytest.raises(RunError, match="no train slide is indexed. Run 'h2g prepare'"):
        train_patch(run)


def test_training_ends_with_the_reason_if_all_slides_fail(trained_run, tmp_path):
    gone = tmp_path / "gone.svs"
    gone.write_text("no slide")
    slides = [
        dataclasses.replace(slide, path=gone) for slide in labelled_slides(trained_run, "train")
    ]
    with (
        pytest.raises(TrainingError, match=r"slides? .*gone\.svs"),
        training_batches(trained_run, slides, 0) as batches,
    ):
        next(iter(batches))


def test_validation_is_the_same_in_every_epoch(trained_run):
    with validation_batches(trained_run, labelled_slides(trained_run, "val")) as batches:
        first, second = ([labels.numpy() for _, labels in batches] for _ in range(2))
    assert len(first) == 2
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_training_ends_with_the_same_weights(trained_run, tmp_path, sent):
    # A separate process is stopped after an epoch; the rest is done here.
    folder = tmp_path / "run"
    for part in ("index", "tissue"):
        shutil.copytree(trained_run.path / part, folder / part)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(dump_recipe(trained_run.recipe))
    command = [
        *(sys.executable, "-c", "from h2g.cli.main import main; main()"),
        *("train", str(trained_run.cohort.path)),
        *("--recipe", str(recipe), "--out", str(folder), "--jobs", "1", "--quiet"),
        *("--stage", "prepare", "--stage", "patch"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        checkpoint = folder / "patch" / "checkpoints" / "last.npz"
        deadline = time.monotonic() + 120
        while not checkpoint.exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, sent)
        _, errors = process.communicate()
    assert process.returncode == (130 if sent == signal.SIGTERM else -sent), errors
    assert is_run(folder)
    run = open_run(folder)
    if sent == signal.SIGTERM:
        assert "h2g: stopped; run the same command again to resume." in errors
        assert run.seconds()["patch"] > 0
        return  # resumed in the other case
    with np.load(checkpoint) as arrays:
        done = json.loads(str(arrays["state"]))["epoch"]
    assert done in (1, 2)
    train_run(run, ("prepare", "patch"))
    histories = [
        pd.read_csv(each.stage_folder("patch") / "history.csv").drop(columns="seconds")
        for each in (trained_run, run)
    ]
    # Threads sum in any order, so the values are close but not equal.
    pd.testing.assert_frame_equal(*histories, rtol=0.02, atol=1e-3)
