"""Training of one network, which can be resumed after any stop; all stages use it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from h2g.errors import TrainingError, WrongUseError
from h2g.files import replacing
from h2g.models.blocks import main_output
from h2g.progress import progress
from h2g.recipes.training import TrainingSettings
from h2g.reporting.plots import draw_history
from h2g.training.callbacks import (
    KeepState,
    NotANumberError,
    ShowProgress,
    StopOnNaN,
    write_history,
)
from h2g.training.checkpoint import TrainingState, load_checkpoint
from h2g.training.resources import Resources, Strategy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageTraining:
    """The network, the data and the folder of a training.

    Attributes:
        name: name of the stage, as in the recipe.
        part: label for messages, e.g. "fold 2 of 3", if the stage has several trainings.
        build: builds the network with its initial weights; called once.
        metrics: objects, because Keras makes those of functions in the first step, and TensorFlow
            then traces that step a second time.
        keep: converts the network to the one that is saved; by default to its first output.
        train: endless data set from a number of the first batch on.
        validation: finite data set, the same in every epoch; None if ``scoring`` is given.
        Both data sets are contexts. They close their source, and raise the error that ended it.
        scoring: adds the validation's scores to the logs of each epoch.
    """

    name: str
    folder: Path
    settings: TrainingSettings
    steps_per_epoch: int
    seed: int
    build: Callable[[], keras.Model]
    loss: keras.losses.Loss
    metrics: tuple[keras.metrics.Metric, ...]
    train: Callable[[int], AbstractContextManager[tf.data.Dataset]]
    validation: Callable[[], AbstractContextManager[tf.data.Dataset | None]]
    scoring: keras.callbacks.Callback | None = None
    part: str = ""
    keep: Callable[[keras.Model], keras.Model] = main_output

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "last.npz"

    @property
    def of_part(self) -> str:
        """Suffix for the stage's name in a message."""
        return f" ({self.part})" if self.part else ""


def fit_stage(stage: StageTraining, resources: Resources = Resources()) -> TrainingState:
    """Trains a stage to its end, starting from its checkpoint if there is one.

    Writes model.keras (the best epoch's network, without optimizer), history.csv and history.png
    into the stage's folder.

    Raises:
        TrainingError: the loss is not a number, or no data can be read any more. The checkpoint
            is then that of the last whole epoch. If the loss is not a number, the best network so
            far is in checkpoints/best.keras.
        WrongUseError: the strategy cannot train this stage.
    """
    check_strategy(stage.name, stage.settings, resources.strategy)
    keras.utils.set_random_seed(stage.seed)
    with _dtype_policy(stage.settings.mixed_precision), _scope(resources.strategy):
        model = stage.build()
        compile_network(
            model,
            stage.settings,
            steps=stage.settings.epochs * stage.steps_per_epoch,
            loss=stage.loss,
            metrics=stage.metrics,
        )
        state = load_checkpoint(stage.checkpoint, model)
        label = f"{stage.name} stage{stage.of_part}"
        logger.info("The %s trains on %s.", label, _devices())
        if state.epoch:
            logger.info("The %s continues after epoch %d.", label, state.epoch)
        if not state.is_over(epochs=stage.settings.epochs, patience=stage.settings.patience):
            state = _fit(model, stage, state, resources.callbacks)
    _write_results(model, stage, state)
    return state


def check_strategy(name: str, settings: TrainingSettings, strategy: Strategy) -> None:
    if strategy == "mirrored" and settings.accumulation_steps > 1:
        raise WrongUseError(
            f"--strategy mirrored cannot accumulate gradients (a limit of Keras), but the {name} "
            f"stage uses {settings.accumulation_steps} accumulation steps. Use --strategy none, or "
            f"--set {name}.accumulation_steps=1 with a larger --set {name}.batch_size."
        )


def make_optimizer(settings: TrainingSettings, *, steps: int) -> keras.optimizers.Optimizer:
    """Adam with the recipe's schedule over ``steps`` batches."""
    rate: Any = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
    accumulation = settings.accumulation_steps if settings.accumulation_steps > 1 else None
    return keras.optimizers.Adam(rate, gradient_accumulation_steps=accumulation)


def compile_network(
    model: keras.Model,
    settings: TrainingSettings,
    *,
    steps: int,
    loss: keras.losses.Loss,
    metrics: Sequence[keras.metrics.Metric] = (),
) -> None:
    """Compiles a network for a training over ``steps`` batches."""
    model.compile(
        optimizer=make_optimizer(settings, steps=steps),
        loss=loss,
        metrics=list(metrics),
        jit_compile=settings.jit_compile,
    )
    # Built here and not in the first step, because a checkpoint restores the optimizer's variables.
    model.optimizer.build(model.trainable_variables)


def _fit(
    model: keras.Model, stage: StageTraining, state: TrainingState, callbacks: Sequence[Any]
) -> TrainingState:
    epochs, steps = stage.settings.epochs, stage.steps_per_epoch
    keep = KeepState(
        state,
        stage.settings,
        checkpoint=stage.checkpoint,
        history=stage.folder / "history.csv",
    )
    all_callbacks: list[Any] = [StopOnNaN(stage.name, steps_per_epoch=steps)]
    if stage.scoring is not None:
        all_callbacks.append(stage.scoring)  # before the callback that keeps the scores
    all_callbacks += [keep, *callbacks]
    if stage.settings.tensorboard:
        all_callbacks.append(keras.callbacks.TensorBoard(stage.folder / "tensorboard"))
    with (
        _best_saved_on_nan(model, stage, keep),
        stage.train(state.epoch * steps) as train,
        stage.validation() as validation,
    ):
        batches = steps + (int(validation.cardinality()) if validation is not None else 0)
        with progress(f"{stage.name} training{stage.of_part}", epochs * batches) as advance:
            advance(state.epoch * batches)
            all_callbacks.append(ShowProgress(advance, epochs=epochs, state=state))
            model.fit(
                train,
                initial_epoch=state.epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                shuffle=False,
                validation_data=validation,
                callbacks=all_callbacks,
                verbose=0,
            )
    return keep.state


@contextlib.contextmanager
def _best_saved_on_nan(model: keras.Model, stage: StageTraining, keep: KeepState) -> Iterator[None]:
    """A context for fit that saves the best network so far when the loss is not a number."""
    try:
        yield
    except NotANumberError as error:
        if not keep.state.best_weights:
            raise
        file = stage.checkpoint.with_name("best.keras")
        _write_network(model, stage, keep.state, file)
        raise NotANumberError(
            f"{error} The best network so far, of epoch {keep.state.best_epoch}, is {file}."
        ) from error


def _write_results(model: keras.Model, stage: StageTraining, state: TrainingState) -> None:
    if not state.best_weights:
        raise TrainingError(
            f"The validation loss of the {stage.name} stage was never a number, so there is no "
            f"model to keep. Start another run with a lower --set {stage.name}.learning_rate."
        )
    write_history(state, stage.folder / "history.csv")
    title = f"{stage.name}{stage.of_part}"
    draw_history(stage.folder / "history.csv", stage.folder / "history.png", title=title)
    _write_network(model, stage, state, stage.folder / "model.keras")


def _write_network(
    model: keras.Model, stage: StageTraining, state: TrainingState, file: Path
) -> None:
    """Saves the part of the network that is kept, with its best weights."""
    # Uncompiled, so that the file holds only the network.
    network = model.__class__.from_config(model.get_config())
    network.set_weights(state.best_weights)
    with replacing(file) as temporary:
        stage.keep(network).save(temporary)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def _devices() -> str:
    gpus = len(tf.config.list_logical_devices("GPU"))
    return f"{gpus} GPU" if gpus else "the CPU; TensorFlow sees no GPU"


def _scope(strategy: Strategy) -> AbstractContextManager[Any]:
    if strategy == "none":
        return contextlib.nullcontext()
    return tf.distribute.MirroredStrategy().scope()
