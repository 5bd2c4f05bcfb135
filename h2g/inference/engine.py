"""What every engine can do, whatever runs the networks.

An engine runs the graphs of h2g.models.deployment: raw pixels in, softmax out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

Key = TypeVar("Key")


@dataclass(frozen=True)
class NetworkFiles:
    """The files of a model in one format; None where it has no such network.

    Attributes:
        input_px: side of the refinement network's field, None without one.
        class_count: background included.
    """

    patch: Path | None
    refinement: Path | None
    input_px: int | None
    class_count: int


class Engine(Protocol):
    """Runs a model's two networks; called from one thread."""

    @property
    def name(self) -> str:
        """As --engine takes it, e.g. ``keras``."""

    @property
    def device(self) -> str:
        """``CPU`` or ``GPU``."""

    @property
    def precision(self) -> str:
        """What the networks really compute in: ``float32``, ``bfloat16``, ``float16``, ``int8``."""

    @property
    def has_refinement(self) -> bool:
        """Whether ``refine`` can be called."""

    def classify(self, patches: np.ndarray) -> np.ndarray:
        """Class probabilities of patches.

        Args:
            patches: (N, S, S, 3) uint8 or float32, RGB of 0..255.
        Returns:
            (N, C) float32, softmax.
        """

    def classify_each(
        self, batches: Iterable[tuple[Key, np.ndarray]]
    ) -> Iterator[tuple[Key, np.ndarray]]:
        """``classify`` of many batches, each with what the caller knows it by.

        An engine that runs several at once gives them back in any order, and takes only as many
        ahead as it runs.
        """

    def refine(self, image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
        """Class probabilities of every pixel of the slide's field at the network's size.

        Args:
            image: (H, W, 3) uint8 RGB, the whole slide at low resolution.
            heatmap: (h, w, C - 1) float32, the whole grid without background.
        Returns:
            (P, P, C) float32, softmax.
        """


def one_by_one(
    classify: Callable[[np.ndarray], np.ndarray], batches: Iterable[tuple[Key, np.ndarray]]
) -> Iterator[tuple[Key, np.ndarray]]:
    """``classify_each`` of an engine that runs one batch at a time."""
    for key, patches in batches:
        yield key, classify(patches)
