"""Builders of the networks, by name: ``h2g.models.unet(...)`` builds one.

Example:
    >>> import h2g
    >>> network = h2g.models.unet((64, 64, 3), (64, 64, 1), filters=(4, 8))
    >>> network.output_shape
    (None, 64, 64, 2)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def __getattr__(name: str) -> Callable[..., keras.Model]:
    if name.startswith("_"):
        raise AttributeError(name)
    from h2g.models.startup import start_keras

    start_keras()
    from h2g.models.registry import MODELS

    if name not in MODELS:
        raise AttributeError(f"no model '{name}'; models: {', '.join(MODELS)}")
    return MODELS[name].builder


def __dir__() -> list[str]:
    from h2g.models.registry import MODELS

    return list(MODELS)
