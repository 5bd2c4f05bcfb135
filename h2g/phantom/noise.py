"""Smooth random fields, from which all outlines of a phantom are made."""

from __future__ import annotations

import cv2
import numpy as np


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], *, cells: float) -> np.ndarray:
    """Noise with mean 0, deviation 1 and features ``cells`` cells wide.

    Args:
        shape: (rows, cols).
    Returns:
        (rows, cols) float32.
    """
    cells = max(cells, 1.0)
    coarse = (int(shape[0] / cells) + 6, int(shape[1] / cells) + 6)
    grid = rng.standard_normal(coarse, dtype=np.float32)
    size = (round(coarse[1] * cells), round(coarse[0] * cells))
    field = cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
    # A random offset from the border, so that fields of the same width are not aligned.
    top, left = (rng.uniform(1.5, 2.5, 2) * cells).astype(int)
    field = field[top : top + shape[0], left : left + shape[1]]
    # Interpolating white noise lowers its deviation by a factor that depends only on the kernel.
    return field * np.float32(1.35)


def share_threshold(values: np.ndarray, share: float) -> float:
    """The value that a share of the values exceeds; infinity if there are none."""
    if values.size == 0 or share <= 0:
        return float("inf")
    step = max(1, values.size // 200_000)
    return float(np.quantile(values[::step], 1 - min(share, 1.0)))
