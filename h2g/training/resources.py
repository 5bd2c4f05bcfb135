"""What a training may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Strategy = Literal["none", "mirrored"]
STRATEGIES: tuple[Strategy, ...] = ("none", "mirrored")


@dataclass(frozen=True)
class Resources:
    """
    Attributes:
        strategy: how several GPUs share a training.
        jobs: processes or threads that read slides at once, where the recipe does not say.
        callbacks: Keras callbacks for every network that is trained.
    """

    strategy: Strategy = "none"
    jobs: int = 1
    callbacks: Sequence[Any] = ()
