"""Resources that a training may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Strategy = Literal["none", "mirrored"]
STRATEGIES: tuple[Strategy, ...] = ("none", "mirrored")


@dataclass(frozen=True)
class Resources:
    """Resources that a training may use.

    Attributes:
        strategy: how several GPUs share a training.
        jobs: number of processes or threads that read slides, unless the recipe sets it.
        callbacks: Keras callbacks for every network that is trained.
    """

    strategy: Strategy = "none"
    jobs: int = 1
    callbacks: Sequence[Any] = ()
