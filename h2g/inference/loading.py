"""Opening a model for prediction: what it is first, its engine when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from h2g.errors import RunError
from h2g.inference.engine import Engine
from h2g.recipes.recipe import Preprocessing
from h2g.runs import Run, file_sha256, is_run, open_run


@dataclass(frozen=True)
class LoadedModel:
    """What prediction knows of a model before its engine is open.

    Attributes:
        class_names: background first.
        sha256: of each file that holds weights, by its name.
        open_engine: takes the batch size; slow, since it loads libraries and networks.
    """

    path: Path
    recipe: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    sha256: dict[str, str]
    open_engine: Callable[[int], Engine]

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for predictions to stand in one folder."""
        return {
            "recipe": self.recipe,
            "classes": list(self.class_names),
            "preprocessing": self.preprocessing.model_dump(mode="json"),
            "sha256": self.sha256,
        }


def load_model(path: Path, *, engine: str = "auto") -> LoadedModel:
    """A model by its folder.

    Args:
        engine: ``auto`` takes the one that suits the folder: Keras for a run folder.
    Raises:
        RunError: not a model, or not trained yet.
    """
    if is_run(path):
        return _load_run(path, engine)
    raise RunError(f"{path}: not a model. Give a run folder, as 'h2g train' makes it.")


def _load_run(path: Path, engine: str) -> LoadedModel:
    run = open_run(path)
    if engine not in {"auto", "keras"}:
        raise RunError(f"{path}: a run folder is run by --engine keras, not {engine}.")

    def open_engine(batch_size: int) -> Engine:
        from h2g.models.startup import start_keras

        start_keras()
        from h2g.inference.keras_engine import open_keras_engine

        return open_keras_engine(run, batch_size=batch_size)

    return LoadedModel(
        path=path,
        recipe=run.recipe.name,
        class_names=run.recipe.class_names,
        preprocessing=run.recipe.preprocessing,
        sha256=_run_sha256(run),
        open_engine=open_engine,
    )


def _run_sha256(run: Run) -> dict[str, str]:
    stages = ["patch"] + (["refinement"] if run.recipe.refinement is not None else [])
    files = run.trained_models(stages)
    return {f"{stage}/{file.name}": file_sha256(file) for stage, file in files.items()}
