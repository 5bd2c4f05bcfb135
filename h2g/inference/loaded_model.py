"""What prediction knows of a model before its engine is open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from h2g.inference.engine import Engine
from h2g.recipes.preprocessing import Preprocessing


@dataclass(frozen=True)
class LoadedModel:
    """A model by its folder: a run or a bundle.

    Attributes:
        recipe: its name; a bundle's own name.
        class_names: background first.
        sha256: of each file that holds weights, by its name.
        open_engine: takes the batch size; slow, since it loads libraries and networks.
        has_patch: whether it classifies patches; one without segments the low-resolution slide.
        engine: that open_engine opens; ``fast`` runs whole slides in a program of its own
            (h2g.inference.fast_engine) and cannot be opened.
        precision: that was asked for.
    """

    path: Path
    recipe: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    sha256: dict[str, str]
    open_engine: Callable[[int], Engine]
    has_patch: bool = True
    engine: str = "keras"
    precision: str = "float32"

    def start_engine(self, batch_size: int) -> Engine:
        """The engine with its networks loaded and what a first call builds."""
        engine = self.open_engine(batch_size)
        engine.load()
        if self.has_patch:
            side = self.preprocessing.patch.size_px
            engine.classify(np.zeros((1, side, side, 3), np.uint8))
        return engine

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for predictions to stand in one folder."""
        return {
            "recipe": self.recipe,
            "classes": list(self.class_names),
            "preprocessing": self.preprocessing.model_dump(mode="json"),
            "sha256": self.sha256,
            # bfloat16 computes the files of float32.
            "asked_precision": self.precision,
        }
