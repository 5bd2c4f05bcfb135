"""What every engine can do, whatever runs the networks.

An engine runs the graphs of h2g.models.deployment: raw pixels in, softmax out.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


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
        """What the networks compute in, e.g. ``float32``."""

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

    def refine(self, image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
        """Class probabilities of every pixel of the slide's field at the network's size.

        Args:
            image: (H, W, 3) uint8 RGB, the whole slide at low resolution.
            heatmap: (h, w, C - 1) float32, the whole grid without background.
        Returns:
            (P, P, C) float32, softmax.
        """
