import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest

from h2g.errors import TrainingError
from h2g.models.deployment import deployed, load_network
from h2g.stages.refinement.train_refinement import train_refinement
from h2g.training.checkpoint import TrainingState


def with_settings(run, **changes):
    refinement = run.recipe.refinement.model_copy(update=changes)
    return dataclasses.replace(run, recipe=run.recipe.model_copy(update={"refinement": refinement}))


def test_an_epoch_passes_every_slide_once(trained_run):
    # 3 train slides in batches of 2 are 2 steps per epoch; 2 epochs.
    history = pd.read_csv(trained_run.stage_folder("refinement") / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert {"loss", "slide_dice", "val_loss", "val_slide_dice"} <= {*history.columns}
    model = keras.saving.load_model(trained_run.model_file("refinement"))
    assert not model.compiled
    assert [tensor.shape for tensor in model.inputs] == [(None, 64, 64, 3), (None, 64, 64, 1)]
    momenta = {
        layer.momentum
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert momenta == {0.9}


@pytest.mark.parametrize(
    ("inputs", "name", "shape"),
    [("image", "input_0_image", (1, 90, 80, 3)), ("heatmap", "input_1_heatmap", (1, 9, 8, 1))],
)
def test_controls_are_deployed_with_one_input(own_run, inputs, name, shape):
    own_run.model_file("refinement").unlink()
    train_refinement(with_settings(own_run, inputs=inputs, epochs=1))
    graph = deployed(load_network(own_run.model_file("refinement")))
    assert [tensor.name for tensor in graph.inputs] == [name]
    values = np.random.default_rng(0).uniform(0, 255 if shape[-1] == 3 else 1, shape)
    found = [graph.predict(each, verbose=0) for each in (values, values[:, ::-1])]
    assert found[0].shape == (1, 64, 64, 2)
    assert np.abs(found[0] - found[1]).max() > 0


def test_it_learns_with_accumulation(own_run):
    # 10 epochs of 6 batches; weights are updated after every third.
    own_run.model_file("refinement").unlink()
    run = with_settings(
        own_run, epochs=10, steps_per_epoch=6, accumulation_steps=3, learning_rate=1e-2
    )
    state: TrainingState = train_refinement(run)
    losses = [row["loss"] for row in state.history]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:2])


def test_compiled_steps_learn_the_same(own_run):
    losses = []
    for compiled in (False, True):
        own_run.model_file("refinement").unlink()
        (own_run.stage_folder("refinement") / "checkpoints" / "last.npz").unlink(missing_ok=True)
        state = train_refinement(with_settings(own_run, epochs=2, jit_compile=compiled))
        losses.append([row["val_loss"] for row in state.history])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_slide_without_heatmap_is_left_out(own_run):
    own_run.model_file("refinement").unlink()
    train = own_run.cohort.split("train")
    own_run.heatmap_file(train[0].name).unlink()
    # 2 of 3 train slides in batches of 2 are one step per epoch.
    state = train_refinement(with_settings(own_run, epochs=1))
    assert state.epoch == 1
    own_run.heatmap_file(own_run.cohort.split("val")[0].name).unlink()
    with pytest.raises(TrainingError, match="No val slide has a heatmap"):
        train_refinement(own_run)


def test_a_heatmap_damaged_during_training_is_reported(own_run):
    own_run.model_file("refinement").unlink()
    path = own_run.heatmap_file(own_run.cohort.split("train")[0].name)
    path.write_bytes(b"no heatmap")
    with pytest.raises(Exception, match=rf"{path.name}.*[Dd]elete it") as caught:
        train_refinement(with_settings(own_run, epochs=1))
    assert type(caught.value).__module__ == "h2g.errors"
