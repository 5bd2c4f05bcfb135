"""The checkpoint of a stage: one file with everything that is needed to resume it.

Keras's BackupAndRestore keeps neither the best value nor the number of epochs since. EarlyStopping
therefore starts to count again in a resumed training. This file holds both, the best weights, the
history, and the states of the optimizer and the random generators.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from h2g.errors import TrainingError
from h2g.files import replacing


@dataclass(frozen=True)
class TrainingState:
    """Progress of a stage after whole epochs.

    Attributes:
        epoch: number of finished epochs.
        best, best_epoch: lowest validation loss, and its epoch (from 1); 0 if there is none yet.
        history: one row per epoch.
        best_weights: the network's weights after ``best_epoch``; empty if there is none.
    """

    epoch: int = 0
    best: float = math.inf
    best_epoch: int = 0
    history: tuple[dict[str, float], ...] = ()
    best_weights: tuple[np.ndarray, ...] = field(default=(), repr=False, compare=False)

    def after(self, row: dict[str, float], model: keras.Model) -> TrainingState:
        """The state after one more epoch; a ``val_loss`` of NaN is never the best."""
        state = replace(self, epoch=self.epoch + 1, history=(*self.history, row))
        if not row["val_loss"] < self.best:
            return state
        return replace(
            state,
            best=row["val_loss"],
            best_epoch=state.epoch,
            best_weights=tuple(model.get_weights()),
        )

    def is_over(self, *, epochs: int, patience: int | None) -> bool:
        epochs_since_best = self.epoch - self.best_epoch
        return self.epoch >= epochs or (patience is not None and epochs_since_best >= patience)


def save_checkpoint(path: Path, model: keras.Model, state: TrainingState) -> None:
    """Writes the whole file or nothing; ``model`` must be compiled, with its optimizer built."""
    document = asdict(replace(state, best_weights=()))
    arrays: dict[str, Any] = {
        "state": np.array(json.dumps(document)),
        **_named("model", [keras.ops.convert_to_numpy(v) for v in model.variables]),
        **_named("optimizer", [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]),
        **_named("best", state.best_weights),
    }
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def load_checkpoint(path: Path, model: keras.Model) -> TrainingState:
    """Restores ``model`` and its optimizer; returns a new state if there is no file.

    Raises:
        TrainingError: the file is damaged, or belongs to another network.
    """
    if not path.exists():
        return TrainingState()
    try:
        with np.load(path) as arrays:
            document = json.loads(str(arrays["state"]))
            _assign(model.variables, _values(arrays, "model"))
            _assign(model.optimizer.variables, _values(arrays, "optimizer"))
            best_weights = tuple(_values(arrays, "best"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TrainingError(
            f"{path}: training cannot continue from this checkpoint ({error}). "
            "Delete it to start the stage again."
        ) from error
    history = tuple(document.pop("history"))
    document.pop("best_weights")
    return TrainingState(**document, history=history, best_weights=best_weights)


def _named(prefix: str, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}_{number:05d}": array for number, array in enumerate(arrays)}


def _values(arrays: Any, prefix: str) -> list[np.ndarray]:
    return [arrays[name] for name in sorted(arrays.files) if name.startswith(f"{prefix}_")]


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise ValueError("it belongs to another network or optimizer")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
