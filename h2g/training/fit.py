"""Training of one stage, resumable after any stop: what both stages share."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from h2g.errors import TrainingError, WrongUseError
from h2g.models.blocks import main_output
from h2g.progress import progress
from h2g.recipes.recipe import TrainingSettings
from h2g.reporting.plots import draw_history
from h2g.runs import replacing
from h2g.training.callbacks import KeepState, ShowProgress, StopOnNaN, write_history
from h2g.training.checkpoint import TrainingState, load_checkpoint

logger = logging.getLogger(__name__)

Strategy = Literal["none", "mirrored"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@dataclass(frozen=True)
class StageTraining:
    """What is trained, on what, and where it is kept.

    Attributes:
        name: ``patch`` or ``refinement``, as in the recipe.
        build: the network with its first weights; called once. Only its first output is kept.
        train: number of the first batch -> endless data set from that batch on.
        validation: data set that ends, the same in every epoch.
        Both are contexts that close what is read, and raise why it can be read no more.
    """

    name: Literal["patch", "refinement"]
    folder: Path
    settings: TrainingSettings
    steps_per_epoch: int
    seed: int
    build: Callable[[], keras.Model]
    loss: keras.losses.Loss
    metrics: tuple[Any, ...]
    train: Callable[[int], AbstractContextManager[tf.data.Dataset]]
    validation: Callable[[], AbstractContextManager[tf.data.Dataset]]

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "last.npz"


def fit_stage(stage: StageTraining, *, strategy: Strategy = "none") -> TrainingState:
    """Trains a stage to its end, from its checkpoint when there is one.

    Writes model.keras (the best epoch's network, without optimizer), history.csv and history.png
    into the stage's folder.

    Raises:
        TrainingError: the loss is not a number, or no data can be read any more.
        WrongUseError: a strategy that cannot train this stage.
    """
    check_strategy(stage.name, stage.settings, strategy)
    keras.utils.set_random_seed(stage.seed)
    with _dtype_policy(stage.settings.mixed_precision), _scope(strategy):
        model = stage.build()
        _compile(model, stage)
        state = load_checkpoint(stage.checkpoint, model)
        logger.info("The %s stage trains on %s.", stage.name, _devices())
        if state.epoch:
            logger.info("The %s stage goes on after epoch %d.", stage.name, state.epoch)
        if not state.is_over(epochs=stage.settings.epochs, patience=stage.settings.patience):
            state = _fit(model, stage, state)
    _write_results(model, stage, state)
    return state


def check_strategy(name: str, settings: TrainingSettings, strategy: Strategy) -> None:
    if strategy == "mirrored" and settings.accumulation_steps > 1:
        raise WrongUseError(
            f"--strategy mirrored cannot accumulate gradients (a limit of Keras), and the {name} "
            f"stage does over {settings.accumulation_steps} batches. Use --strategy none, or "
            f"--set {name}.accumulation_steps=1 with a larger --set {name}.batch_size."
        )


def make_optimizer(settings: TrainingSettings, *, steps: int) -> keras.optimizers.Optimizer:
    """Adam with the recipe's schedule over ``steps`` batches."""
    rate: Any = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
    accumulation = settings.accumulation_steps if settings.accumulation_steps > 1 else None
    return keras.optimizers.Adam(rate, gradient_accumulation_steps=accumulation)


def _compile(model: keras.Model, stage: StageTraining) -> None:
    steps = stage.settings.epochs * stage.steps_per_epoch
    optimizer = make_optimizer(stage.settings, steps=steps)
    model.compile(optimizer=optimizer, loss=stage.loss, metrics=list(stage.metrics))
    # Now, not in the first step: the checkpoint's values need their variables.
    model.optimizer.build(model.trainable_variables)


def _fit(model: keras.Model, stage: StageTraining, state: TrainingState) -> TrainingState:
    epochs, steps = stage.settings.epochs, stage.steps_per_epoch
    keep = KeepState(
        state,
        stage.settings,
        checkpoint=stage.checkpoint,
        history=stage.folder / "history.csv",
    )
    callbacks = [StopOnNaN(stage.name, steps_per_epoch=steps), keep]
    if stage.settings.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(stage.folder / "tensorboard"))
    with stage.train(state.epoch * steps) as train, stage.validation() as validation:
        batches = steps + int(validation.cardinality())
        with progress(f"{stage.name} training", epochs * batches) as advance:
            advance(state.epoch * batches)
            callbacks.append(ShowProgress(advance, epochs=epochs, state=state))
            model.fit(
                train,
                initial_epoch=state.epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                shuffle=False,
                validation_data=validation,
                callbacks=callbacks,
                verbose=0,
            )
    return keep.state


def _write_results(model: keras.Model, stage: StageTraining, state: TrainingState) -> None:
    if not state.best_weights:
        raise TrainingError(
            f"The validation loss of the {stage.name} stage was never a number: there is no model "
            f"to keep. Start another run with a lower --set {stage.name}.learning_rate."
        )
    write_history(state, stage.folder / "history.csv")
    draw_history(stage.folder / "history.csv", stage.folder / "history.png", title=stage.name)
    # Not compiled, so that the file holds the network alone.
    network = model.__class__.from_config(model.get_config())
    network.set_weights(state.best_weights)
    with replacing(stage.folder / "model.keras") as temporary:
        main_output(network).save(temporary)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _devices() -> str:
    gpus = len(tf.config.list_logical_devices("GPU"))
    return f"{gpus} GPU" if gpus else "the CPU; TensorFlow sees no GPU"


def _scope(strategy: Strategy) -> AbstractContextManager[Any]:
    if strategy == "none":
        return contextlib.nullcontext()
    return tf.distribute.MirroredStrategy().scope()
