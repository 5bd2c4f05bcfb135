import contextlib
import dataclasses
import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from h2g.errors import TrainingError, WrongUseError
from h2g.recipes.training import TrainingSettings
from h2g.training.checkpoint import TrainingState, load_checkpoint
from h2g.training.fit import StageTraining, check_strategy, fit_stage, make_optimizer
from h2g.training.resources import Resources

STEPS = 5


def network() -> keras.Model:
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8, activation="relu")(inputs)
    # Its random generator has a state, which a resumed run must have too.
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(inputs, keras.layers.Dense(1, dtype="float32")(x))


@contextlib.contextmanager
def batches(first: int, *, broken_at: int | None = None, nan_at: int | None = None):
    """Batch i holds numbers drawn from seed i; its truth is their sum."""

    def read(number: np.int64):
        if number == broken_at:
            raise OSError("the disk is gone")
        x = np.random.default_rng(int(number)).normal(size=(4, 6)).astype("float32")
        y = x.sum(axis=1, keepdims=True)
        return x, y * np.float32("nan") if number == nan_at else y

    def shaped(number):
        x, y = tf.numpy_function(read, [number], (tf.float32, tf.float32))
        return tf.ensure_shape(x, (4, 6)), tf.ensure_shape(y, (4, 1))

    try:
        yield tf.data.Dataset.range(first, 10**6).map(shaped)
    except tf.errors.OpError as error:
        raise TrainingError("No slide can be read any more.") from error


@contextlib.contextmanager
def validation():
    with batches(10_000) as endless:
        yield endless.take(3)


def stage(folder, *, broken_at=None, nan_at=None, **settings) -> StageTraining:
    defaults = {"epochs": 4, "steps_per_epoch": STEPS, "learning_rate": 1e-2}
    return StageTraining(
        name="patch",
        folder=folder,
        settings=TrainingSettings(**(defaults | settings)),
        steps_per_epoch=STEPS,
        seed=3,
        build=network,
        loss=keras.losses.MeanSquaredError(),
        metrics=(keras.metrics.MeanAbsoluteError(name="mae"),),
        train=lambda first: batches(first, broken_at=broken_at, nan_at=nan_at),
        validation=validation,
    )


@pytest.mark.parametrize(("accumulation", "compiled"), [(1, "auto"), (3, "auto"), (3, True)])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, accumulation, compiled):
    # 5 steps an epoch do not divide by 3: half an accumulation is carried over the stop.
    settings = {"accumulation_steps": accumulation, "schedule": "cosine", "jit_compile": compiled}
    straight = fit_stage(stage(tmp_path / "straight", **settings))
    folder = tmp_path / "stopped"
    with pytest.raises(TrainingError, match="No slide can be read"):
        fit_stage(stage(folder, broken_at=13, **settings))  # in the third epoch
    assert len(pd.read_csv(folder / "history.csv")) == 2
    resumed = fit_stage(stage(folder, **settings))
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]
    for name in ("loss", "mae", "val_loss", "learning_rate"):
        values = [[row[name] for row in state.history] for state in (straight, resumed)]
        np.testing.assert_allclose(*values, rtol=1e-4)
    assert straight.best_epoch == resumed.best_epoch
    iterations = [saved_iterations(tmp_path / name, settings) for name in ("straight", "stopped")]
    assert iterations == [20 // accumulation] * 2
    models = [
        keras.models.load_model(tmp_path / n / "model.keras") for n in ("straight", "stopped")
    ]
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def saved_iterations(folder, settings) -> int:
    model = network()
    model.compile(make_optimizer(TrainingSettings(**settings), steps=4 * STEPS), "mse")
    model.optimizer.build(model.trainable_variables)
    load_checkpoint(folder / "checkpoints" / "last.npz", model)
    return int(model.optimizer.iterations)


def test_the_best_epoch_is_kept_without_optimizer(tmp_path):
    state = fit_stage(stage(tmp_path, epochs=6, learning_rate=0.3))
    losses = pd.read_csv(tmp_path / "history.csv")["val_loss"]
    assert state.best_epoch == losses.idxmin() + 1 != 6, "choose another rate: the last is best"
    model = keras.models.load_model(tmp_path / "model.keras")
    assert not model.compiled
    model.compile(loss="mse")
    with validation() as data:
        found = model.evaluate(data, verbose=0)
    assert found == pytest.approx(losses.min(), rel=1e-4)
    assert (tmp_path / "history.png").stat().st_size > 1000


def test_patience_counts_over_a_stop(tmp_path):
    # A rate this small betters the loss by nothing worth 1e-9; a huge one makes it worse.
    settings = {"epochs": 50, "patience": 3, "learning_rate": 5.0}
    state = fit_stage(stage(tmp_path / "straight", **settings))
    assert state.epoch == state.best_epoch + 3 < 50
    with pytest.raises(TrainingError):
        fit_stage(stage(tmp_path / "stopped", broken_at=(state.epoch - 1) * STEPS + 2, **settings))
    resumed = fit_stage(stage(tmp_path / "stopped", **settings))
    assert (resumed.epoch, resumed.best_epoch) == (state.epoch, state.best_epoch)
    # Over: nothing is trained any more.
    again = fit_stage(stage(tmp_path / "stopped", broken_at=0, **settings))
    assert again.epoch == state.epoch


def test_nan_names_the_step_and_keeps_the_checkpoint(tmp_path):
    # Batch 12 (from 0) is step 13, in epoch 3.
    with pytest.raises(TrainingError, match=r"patch stage is not a number at step 13 \(epoch 3\)"):
        fit_stage(stage(tmp_path, nan_at=12))
    history = pd.read_csv(tmp_path / "history.csv")
    assert len(history) == 2
    assert val_loss_of(tmp_path / "checkpoints" / "best.keras") == pytest.approx(
        history["val_loss"].min(), rel=1e-4
    )
    assert not (tmp_path / "model.keras").exists()
    assert fit_stage(stage(tmp_path)).epoch == 4
    assert math.isfinite(pd.read_csv(tmp_path / "history.csv")["loss"].sum())


def val_loss_of(file) -> float:
    model = keras.models.load_model(file)
    model.compile(loss="mse")
    with validation() as data:
        return model.evaluate(data, verbose=0)


def test_nan_in_the_first_epoch_keeps_nothing_and_says_so(tmp_path):
    with pytest.raises(TrainingError, match=r"step 3 \(epoch 1\)\. Start another run") as raised:
        fit_stage(stage(tmp_path, nan_at=2))
    assert "best network" not in str(raised.value)
    assert not (tmp_path / "checkpoints").exists()


class SteepAtMark(keras.losses.Loss):
    """Squared error; where the truth is above 1e4 the loss is 0 and its gradient not a number."""

    def call(self, y_true, y_pred):
        marked = keras.ops.cast(y_true > 1e4, "float32")
        # The root of 0 has no gradient; the root of 1 has one of 0.
        root = keras.ops.sqrt(keras.ops.square(y_pred * 0) * marked + (1 - marked))
        squares = keras.ops.square((y_true - y_pred) * (1 - marked))
        return keras.ops.mean(squares + root - (1 - marked), axis=-1)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_weights_lost_in_an_epochs_last_step_reach_no_checkpoint(tmp_path, accumulation):
    # The last of epoch 2's steps, 10, has a loss of 0: only what it leaves behind is no number,
    # in the weights or, half way through an accumulation, in the optimizer.
    @contextlib.contextmanager
    def marked(first):
        with batches(first) as clean:
            yield clean.enumerate(first).map(
                lambda number, pair: (pair[0], tf.where(number == 9, 1e5, pair[1]))
            )

    steep = dataclasses.replace(
        stage(tmp_path, accumulation_steps=accumulation), loss=SteepAtMark(), train=marked
    )
    sentence = r"patch stage has weights that are not numbers after step 10 \(epoch 2\)"
    with pytest.raises(TrainingError, match=f"{sentence}.*checkpoint of epoch 1 is kept") as raised:
        fit_stage(steep)
    assert "of epoch 1, is" in str(raised.value)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [1]
    assert val_loss_of(tmp_path / "checkpoints" / "best.keras") == pytest.approx(
        history["val_loss"][0], rel=1e-4
    )
    assert fit_stage(stage(tmp_path, accumulation_steps=accumulation)).epoch == 4


def test_a_damaged_checkpoint_is_reported(tmp_path):
    fit_stage(stage(tmp_path, epochs=1))
    checkpoint = tmp_path / "checkpoints" / "last.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    with pytest.raises(TrainingError, match=r"last\.npz: training cannot continue.*Delete it"):
        fit_stage(stage(tmp_path, epochs=1))


def test_a_checkpoint_of_another_network_is_reported(tmp_path):
    fit_stage(stage(tmp_path, epochs=1))
    other = dataclasses.replace(
        stage(tmp_path, epochs=2), build=lambda: keras.Sequential([keras.layers.Dense(1)])
    )
    with pytest.raises(TrainingError, match="another network"):
        fit_stage(other)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_resumes_and_is_put_back(tmp_path, policy):
    with pytest.raises(TrainingError):
        fit_stage(stage(tmp_path, mixed_precision=policy, accumulation_steps=2, broken_at=6))
    assert keras.config.dtype_policy().name == "float32"
    state = fit_stage(stage(tmp_path, mixed_precision=policy, accumulation_steps=2))
    assert state.history[-1]["val_loss"] < state.history[0]["val_loss"]
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("compiled", ["auto", True])
def test_mirrored_trains_and_resumes(tmp_path, compiled):
    with pytest.raises(TrainingError):
        fit_stage(stage(tmp_path, jit_compile=compiled, broken_at=6), Resources("mirrored"))
    state = fit_stage(stage(tmp_path, jit_compile=compiled), Resources("mirrored"))
    assert state.history[-1]["val_loss"] < state.history[0]["val_loss"]


def test_mirrored_refuses_accumulation():
    settings = TrainingSettings(accumulation_steps=6)
    with pytest.raises(WrongUseError, match="refinement.accumulation_steps=1"):
        check_strategy("refinement", settings, "mirrored")


def test_callbacks_that_are_given_are_called(tmp_path):
    epochs = []
    counter = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    fit_stage(stage(tmp_path, epochs=2), Resources(callbacks=(counter,)))
    assert epochs == [0, 1]


def test_cosine_falls_from_the_rate_to_zero_over_all_steps():
    rate = make_optimizer(
        TrainingSettings(schedule="cosine", learning_rate=0.2), steps=100
    )._learning_rate
    # 0.2 (1 + cos(pi t / 100)) / 2
    assert [float(rate(step)) for step in (0, 50, 100)] == pytest.approx([0.2, 0.1, 0], abs=1e-6)


def test_tensorboard_is_an_option(tmp_path):
    fit_stage(stage(tmp_path / "without", epochs=1))
    fit_stage(stage(tmp_path / "with", epochs=1, tensorboard=True))
    assert not (tmp_path / "without" / "tensorboard").exists()
    assert list((tmp_path / "with" / "tensorboard" / "train").glob("events.*"))


def test_nan_is_never_the_best():
    model = network()
    state = TrainingState().after({"val_loss": math.nan}, model).after({"val_loss": 2.0}, model)
    assert (state.best_epoch, state.epoch) == (2, 2)
    assert state.after({"val_loss": math.nan}, model).best == 2.0
