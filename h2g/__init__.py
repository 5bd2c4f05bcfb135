"""Deep learning on whole slide images, from annotated slides to models for FastPathology.

The public names are ``h2g.open_slide``, ``h2g.load_model``, ``h2g.train``, ``h2g.evaluate``,
``h2g.export`` and the networks in ``h2g.models``. Each is loaded on first use, so importing h2g
loads nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from h2g import models
    from h2g.exporters.export import export
    from h2g.prediction.model import load_model
    from h2g.slides.slide import open_slide
    from h2g.stages.train import evaluate, train

__version__ = "0.1.0"
__all__ = ["evaluate", "export", "load_model", "models", "open_slide", "train"]

MODULES = {
    "evaluate": "h2g.stages.train",
    "export": "h2g.exporters.export",
    "load_model": "h2g.prediction.model",
    "open_slide": "h2g.slides.slide",
    "train": "h2g.stages.train",
}


def __getattr__(name: str) -> Any:
    if name == "models":
        return importlib.import_module("h2g.models")
    if name not in MODULES:
        raise AttributeError(f"module 'h2g' has no attribute '{name}'")
    return getattr(importlib.import_module(MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
