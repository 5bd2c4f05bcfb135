"""Callbacks of training: checkpoints, stopping and progress.

Keras's own callbacks do not suffice. EarlyStopping starts to count again in a resumed training (see
checkpoint.py). TerminateOnNaN checks only the loss, and names neither the stage nor a remedy.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from h2g.errors import TrainingError
from h2g.recipes.training import TrainingSettings
from h2g.tables import write_csv
from h2g.training.checkpoint import TrainingState, save_checkpoint

logger = logging.getLogger(__name__)

Logs = dict[str, float] | None


class KeepState(keras.callbacks.Callback):
    """Writes checkpoint and history at the end of each epoch, and stops when patience runs out."""

    def __init__(
        self, state: TrainingState, settings: TrainingSettings, *, checkpoint: Path, history: Path
    ) -> None:
        super().__init__()
        self.state = state
        self.settings = settings
        self.checkpoint = checkpoint
        self.history = history
        self.started = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        row = {
            "epoch": epoch + 1,
            **{name: float(value) for name, value in (logs or {}).items()},
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "seconds": round(time.perf_counter() - self.started, 2),
        }
        self.state = self.state.after(row, self.model)
        save_checkpoint(self.checkpoint, self.model, self.state)
        write_history(self.state, self.history)
        epochs, patience = self.settings.epochs, self.settings.patience
        if self.state.epoch < epochs and self.state.is_over(epochs=epochs, patience=patience):
            self.model.stop_training = True
            logger.info(
                "No better validation loss since epoch %d; training ends after epoch %d.",
                self.state.best_epoch,
                self.state.epoch,
            )


class NotANumberError(TrainingError):
    """Training in which the loss or a weight is not a number."""


class StopOnNaN(keras.callbacks.Callback):
    """Ends training when the loss or a weight is not a number; the last checkpoint stays.

    It must come before the callback that writes checkpoints. The last step of an epoch may spoil
    the weights after its loss was computed.
    """

    def __init__(self, stage: str, *, steps_per_epoch: int) -> None:
        super().__init__()
        self.stage = stage
        self.steps_per_epoch = steps_per_epoch
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        # The loss is the mean since the epoch began, so one NaN batch makes it NaN from then on.
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self._stop("The loss", "is not a number at", batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        variables = [*self.model.variables, *self.model.optimizer.variables]
        if not all(_is_finite(variable) for variable in variables):
            self._stop(
                "The network", "has weights that are not numbers after", self.steps_per_epoch
            )

    def _stop(self, subject: str, problem: str, step_of_epoch: int) -> None:
        step = self.epoch * self.steps_per_epoch + step_of_epoch
        kept = f"The checkpoint of epoch {self.epoch} is kept. " if self.epoch else ""
        raise NotANumberError(
            f"{subject} of the {self.stage} stage {problem} step {step} (epoch {self.epoch + 1}). "
            f"{kept}"
            f"Start another run with a lower --set {self.stage}.learning_rate or with "
            f"--set {self.stage}.mixed_precision=float32."
        )


def _is_finite(variable: Any) -> bool:
    return bool(np.isfinite(keras.ops.convert_to_numpy(variable)).all())


class ShowProgress(keras.callbacks.Callback):
    """Advances a progress bar by one batch of training or validation, and shows the losses."""

    def __init__(self, advance: Callable[..., None], *, epochs: int, state: TrainingState) -> None:
        super().__init__()
        self.advance = advance
        self.epochs = epochs
        self.epoch = state.epoch
        self.val_loss = state.history[-1]["val_loss"] if state.history else math.nan

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        loss = (logs or {}).get("loss", math.nan)
        validation = f" val {self.val_loss:.3f}" if math.isfinite(self.val_loss) else ""
        self.advance(1, note=f"epoch {self.epoch + 1}/{self.epochs} loss {loss:.3f}{validation}")

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.advance(1)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.val_loss = (logs or {}).get("val_loss", math.nan)


def write_history(state: TrainingState, path: Path) -> None:
    """Writes history.csv, one row per epoch."""
    write_csv(pd.DataFrame(list(state.history)), path, float_format="%.6g")
