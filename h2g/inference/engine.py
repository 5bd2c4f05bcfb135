"""What every engine can do, whatever runs the networks.

An engine runs the graphs of h2g.models.deployment: raw pixels in, softmax out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from h2g.concurrency import Key

# Inputs of the deployed graphs; engines look them up by these names.
PATCH_INPUT = "input_0_patch"
IMAGE_INPUT = "input_0_image"
HEATMAP_INPUT = "input_1_heatmap"
# Only in refinement graphs for FAST: the frame, without effect and fed with zeros; the extent, of
# which only the size counts (PIXELS_A_CELL for a cell of the heatmap); and in place of a heatmap
# of several classes, one input for each, numbered from 1.
FRAME_INPUT = "input_2_frame"
EXTENT_INPUT = "input_2_extent"
CHANNEL_INPUT = re.compile(rf"{HEATMAP_INPUT}_(\d+)")


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

    def load(self) -> None:
        """Loads all networks now; those that are not are loaded when they are first used.

        Raises:
            ModelError: a file that cannot be read.
        """

    def classify(self, patches: np.ndarray) -> np.ndarray:
        """Class probabilities of patches.

        Args:
            patches: (N, S, S, 3) uint8 or float32, RGB of 0..255.
        Returns:
            (N, C) float32, softmax.
        """

    def classify_each(
        self, batches: Iterable[tuple[Key, np.ndarray]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        """``classify`` of many batches, each with what the caller knows it by.

        An engine that runs several at once gives them back in any order, and takes only as many
        ahead as it runs. Exceptions of ``batches`` come through; when this ends, or is closed,
        nothing is running any more.
        """

    def refine(self, image: np.ndarray, heatmap: np.ndarray | None) -> np.ndarray:
        """Class probabilities of every pixel of the slide's field at the network's size.

        Args:
            image: (H, W, 3) uint8 RGB, the whole slide at low resolution.
            heatmap: (h, w, C - 1) float32, the whole grid without background; None of a model
                without patch stage.
        Returns:
            (P, P, C) float32, softmax.
        """


def one_by_one(
    classify: Callable[[np.ndarray], np.ndarray], batches: Iterable[tuple[Key, np.ndarray]]
) -> Generator[tuple[Key, np.ndarray], None, None]:
    """``classify_each`` of an engine that runs one batch at a time."""
    for key, patches in batches:
        yield key, classify(patches)


def in_parts(
    classify: Callable[[np.ndarray], np.ndarray], patches: np.ndarray, *, size: int, classes: int
) -> np.ndarray:
    """``classify`` of at most ``size`` patches at a time; (N, C) float32, (0, C) of none."""
    starts = range(0, len(patches), size)
    parts = [classify(patches[start : start + size]) for start in starts]
    return np.concatenate(parts) if parts else np.empty((0, classes), np.float32)
