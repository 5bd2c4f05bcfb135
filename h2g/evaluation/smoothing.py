"""The baseline without a second network: the heatmap, smoothed by a Gaussian and thresholded.

Its only parameter, the Gaussian's width, is chosen on the validation slides. A refinement network
is worth its cost only if it beats this baseline.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from h2g.evaluation.scores import count_classes, mean_score
from h2g.results.labels import labels_of
from h2g.slides.heatmap import Heatmap, draw_heatmap

CANDIDATES_UM = (0.0, 64.0, 128.0, 192.0, 256.0, 320.0, 448.0, 640.0)


@dataclass(frozen=True)
class Smoothing:
    """The chosen width, and the mean Dice of every candidate on the validation slides."""

    sigma_um: float
    mean_dice: dict[float, float]


def smoothed_labels(heatmap: Heatmap, size_px: tuple[int, int], *, sigma_um: float) -> np.ndarray:
    """Labels of the heatmap, drawn over the slide's field, smoothed and thresholded at 0.5.

    Unclassified patches and everything outside the field are 0 in every class.

    Args:
        size_px: (width, height).
        sigma_um: standard deviation of the Gaussian; 0 does not smooth.
    Returns:
        (height, width) uint8.
    """
    if sigma_um == 0:
        return labels_of(draw_heatmap(heatmap, size_px))
    # A Gaussian is a product over the axes, and the heatmap is constant in each cell. Two small
    # matrix products therefore give the exact smoothed heatmap at any width.
    sigma_level0 = sigma_um / heatmap.frame.mpp
    rows, cols = heatmap.values.shape[:2]
    field_level0 = heatmap.frame.field_level0
    across, down = (
        _gaussian_shares(size, cells, heatmap.step_level0, field, sigma_level0)
        for size, cells, field in zip(size_px, (cols, rows), field_level0, strict=True)
    )
    planes = [down @ channel @ across.T for channel in np.moveaxis(heatmap.values, -1, 0)]
    return labels_of(np.stack(planes, axis=-1))


def _gaussian_shares(
    size: int, cells: int, step_level0: float, field_level0: float, sigma_level0: float
) -> np.ndarray:
    """Share of a Gaussian around each pixel's centre that lies in each cell, along one axis.

    Returns:
        (size, cells) float32. The last cell ends with the field.
    """
    centres = (np.arange(size) + 0.5) * field_level0 / size
    edges = np.minimum(np.arange(cells + 1) * step_level0, field_level0)
    return np.diff(ndtr((edges - centres[:, None]) / sigma_level0), axis=1).astype(np.float32)


def choose_smoothing(
    slides: Iterable[tuple[Heatmap, np.ndarray]],
    class_names: Sequence[str],
    *,
    candidates_um: Sequence[float] = CANDIDATES_UM,
) -> Smoothing:
    """The width with the best mean Dice over slides; the smallest if several are equal.

    Args:
        slides: heatmap and true labels, (h, w) uint8, of each slide; at least one.
        class_names: background first.
    """
    dice: dict[float, list[float]] = {sigma_um: [] for sigma_um in candidates_um}
    for heatmap, truth in slides:
        size_px = (truth.shape[1], truth.shape[0])
        for sigma_um in candidates_um:
            labels = smoothed_labels(heatmap, size_px, sigma_um=sigma_um)
            counts = count_classes(labels, truth, class_names)
            dice[sigma_um].append(mean_score([c.score for c in counts.values()]).dice)
    means = {sigma_um: float(np.mean(values)) for sigma_um, values in dice.items()}
    best = max(sorted(means), key=lambda sigma_um: means[sigma_um])
    return Smoothing(best, means)
