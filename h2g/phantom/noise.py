"""Smooth random fields, the material of every outline of a phantom."""

from __future__ import annotations

import cv2
import numpy as np


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], *, cells: float) -> np.ndarray:
    """Noise of mean 0 and deviation 1 whose features are ``cells`` cells wide.

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
    # Away from the border, and not in step with other fields of the same width.
    top, left = (rng.uniform(1.5, 2.5, 2) * cells).astype(int)
    field = field[top : top + shape[0], left : left + shape[1]]
    # Interpolating white noise lowers its deviation, by a factor that depends on the kernel alone.
    return field * np.float32(1.35)


def share_threshold(values: np.ndarray, share: float) -> float:
    """The value that ``share`` of the values exceed; infinity when there are none."""
    if values.size == 0 or share <= 0:
        return float("inf")
    step = max(1, values.size // 200_000)
    return float(np.quantile(values[::step], 1 - min(share, 1.0)))
