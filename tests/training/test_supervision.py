import contextlib
import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from h2g.errors import TrainingError
from h2g.folders.run import Run
from h2g.models.deployment import deployed, load_network
from h2g.recipes.training import TrainingSettings
from h2g.stages.refinement.train_refinement import train_refinement
from h2g.training.fit import StageTraining, fit_stage
from h2g.training.losses import SoftDice, slide_dice
from h2g.training.supervision import DeepSupervision, with_supervision

STEPS = 3


def network() -> keras.Model:
    """Two outputs: of the input's size, and of a quarter of it."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    small = keras.layers.AveragePooling2D(4)(x)
    x = keras.layers.SpatialDropout2D(0.2)(x)
    outputs = [
        keras.layers.Conv2D(2, 1, activation="softmax", dtype="float32", name=name)(tensor)
        for name, tensor in (("output_0_segmentation", x), ("output_1_segmentation", small))
    ]
    return keras.Model(inputs, outputs, name="two")


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    """(4, 8, 8, 3) noise and one-hot truth: tumour where the first channel is above 0.5."""
    x = np.random.default_rng(number).random((4, 8, 8, 3)).astype("float32")
    return x, np.eye(2, dtype="float32")[(x[..., 0] > 0.5).astype(int)]


@contextlib.contextmanager
def batches(first: int, *, broken_at: int | None = None):
    def read(number: np.int64):
        if number == broken_at:
            raise OSError("the disk is gone")
        return batch(int(number))

    def shaped(number):
        x, y = tf.numpy_function(read, [number], (tf.float32, tf.float32))
        return tf.ensure_shape(x, (4, 8, 8, 3)), tf.ensure_shape(y, (4, 8, 8, 2))

    try:
        yield tf.data.Dataset.range(first, 10**6).map(shaped)
    except tf.errors.OpError as error:
        raise TrainingError("No slide can be read any more.") from error


@contextlib.contextmanager
def validation():
    with batches(10_000) as endless:
        yield endless.take(2)


def stage(folder, *, broken_at=None, **settings) -> StageTraining:
    defaults = {"epochs": 4, "steps_per_epoch": STEPS, "learning_rate": 1e-2}
    return StageTraining(
        name="refinement",
        folder=folder,
        settings=TrainingSettings(**(defaults | settings)),
        steps_per_epoch=STEPS,
        seed=3,
        build=lambda: with_supervision(network()),
        loss=SoftDice(),
        metrics=(keras.metrics.MeanMetricWrapper(slide_dice, name="slide_dice"),),
        train=lambda first: batches(first, broken_at=broken_at),
        validation=validation,
    )


def test_loss_is_the_mean_over_outputs_and_the_rest_is_the_firsts():
    model = with_supervision(network())
    # Rate 0: the outputs stay those found before.
    model.compile(keras.optimizers.SGD(0.0), SoftDice(), metrics=[slide_dice])
    x, y = batch(0)
    first, second = (output.numpy() for output in model(x, training=False))
    soft_dice = SoftDice()
    alone = float(soft_dice(y, first))
    both = (alone + float(soft_dice(y[:, ::4, ::4], second))) / 2
    assert both != pytest.approx(alone, abs=1e-4)
    # Without dropout, so that training sees the same outputs.
    for layer in model.layers:
        if isinstance(layer, keras.layers.SpatialDropout2D):
            layer.rate = 0.0
    trained = model.train_on_batch(x, y, return_dict=True)
    assert trained["loss"] == pytest.approx(both, abs=1e-5)
    model.reset_metrics()
    tested = model.test_on_batch(x, y, return_dict=True)
    assert tested["loss"] == pytest.approx(alone, abs=1e-5)
    dice = float(np.mean(slide_dice(y, first)))
    assert trained["slide_dice"] == tested["slide_dice"] == pytest.approx(dice, abs=1e-6)


def test_a_network_of_one_output_stays_as_it_is():
    two = network()
    one = keras.Model(two.input, two.outputs[0])
    assert with_supervision(one) is one
    assert isinstance(with_supervision(two), DeepSupervision)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, accumulation):
    # 3 steps an epoch do not divide by 2: half an accumulation is carried over the stop.
    settings = {"accumulation_steps": accumulation}
    straight = fit_stage(stage(tmp_path / "straight", **settings))
    with pytest.raises(TrainingError, match="No slide can be read"):
        fit_stage(stage(tmp_path / "stopped", broken_at=7, **settings))  # in the third epoch
    resumed = fit_stage(stage(tmp_path / "stopped", **settings))
    for name in ("loss", "slide_dice", "val_loss", "val_slide_dice"):
        values = [[row[name] for row in state.history] for state in (straight, resumed)]
        np.testing.assert_allclose(*values, rtol=1e-4)
    models = [
        keras.models.load_model(tmp_path / n / "model.keras") for n in ("straight", "stopped")
    ]
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_the_first_output_is_kept_and_is_what_validation_scored(tmp_path):
    state = fit_stage(stage(tmp_path))
    kept = load_network(tmp_path / "model.keras")
    assert kept.output_names == ["output_0_segmentation"]
    assert type(kept) is type(keras.Model(kept.inputs, kept.outputs))
    kept.compile(loss=SoftDice(), metrics=[slide_dice])
    with validation() as data:
        found = kept.evaluate(data, verbose=0, return_dict=True)
    best = min(state.history, key=lambda row: row["val_loss"])
    assert found["loss"] == pytest.approx(best["val_loss"], rel=1e-4)
    assert found["slide_dice"] == pytest.approx(best["val_slide_dice"], rel=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(tmp_path, policy):
    state = fit_stage(stage(tmp_path, mixed_precision=policy, epochs=3))
    assert state.history[-1]["val_loss"] < state.history[0]["val_loss"]


@pytest.mark.parametrize("model", ["dagu_net", "doubleu_net"])
def test_designs_of_several_outputs_train_on_slides(own_run: Run, model: str):
    own_run.model_file("refinement").unlink()
    settings = own_run.recipe.refinement.model_copy(
        update={"model": model, "options": {"filters": [4, 8, 8]}, "epochs": 1}
    )
    recipe = own_run.recipe.model_copy(update={"refinement": settings})
    run = dataclasses.replace(own_run, recipe=recipe)
    train_refinement(run)
    history = pd.read_csv(run.stage_folder("refinement") / "history.csv")
    wanted = {"epoch", "loss", "slide_dice", "val_loss", "val_slide_dice"}
    assert {*history.columns} == wanted | {"learning_rate", "seconds"}
    kept = load_network(run.model_file("refinement"))
    assert kept.output_names == ["output_0_segmentation"]
    rng = np.random.default_rng(0)
    fields = [rng.uniform(0, 255, (1, 90, 80, 3)), rng.uniform(size=(1, 9, 8, 1))]
    assert deployed(kept)(fields).shape == (1, 64, 64, 2)


def test_outputs_have_weights_and_cells_the_class_of_most_pixels():
    inputs = keras.Input((4, 4, 3))
    pixels = keras.layers.Conv2D(2, 1, activation="softmax", name="output_0_segmentation")(inputs)
    pooled = keras.layers.AveragePooling2D(2)(inputs)
    cells = keras.layers.Conv2D(2, 1, activation="softmax", name="output_1_cells")(pooled)
    model = with_supervision(keras.Model(inputs, [pixels, cells]), (1.0, 0.4))
    loss = keras.losses.CategoricalCrossentropy()
    model.compile(keras.optimizers.SGD(0.0), loss)
    tumour = np.zeros((1, 4, 4), int)
    tumour[0, :2, 1] = tumour[0, 2:, 2:] = tumour[0, 3, 0] = 1
    tumour[0, 0, 0] = 1  # three of four pixels; the cell below has one of four
    y = np.eye(2, dtype="float32")[tumour]
    y[0, :2, 2:] = 0  # a cell that nobody annotated
    x = np.random.default_rng(0).random((1, 4, 4, 3)).astype("float32")
    first, second = (output.numpy() for output in model(x))
    target = np.eye(2, dtype="float32")[[[[1, 0], [0, 1]]]]
    target[0, 0, 1] = 0
    wanted = float(loss(y, first)) + 0.4 * float(loss(target, second))
    assert float(model.train_on_batch(x, y)) == pytest.approx(wanted, abs=1e-5)
    assert float(model.test_on_batch(x, y)) == pytest.approx(float(loss(y, first)), abs=1e-5)
