"""Labels from class probabilities."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from h2g.slides.heatmap import Heatmap, draw_heatmap

THRESHOLD = 0.5
STRIP_ROWS = 512


def labels_of(probabilities: np.ndarray) -> np.ndarray:
    """Labels by the rule of FAST's segmentation network.

    The label is the most probable of the classes above 0.5 (not at 0.5), and the last one if
    several are equal. It is background if none is above 0.5 or background is more probable.

    Args:
        probabilities: (..., C) with background first.
    Returns:
        (...) uint8.
    """
    labels = np.zeros(probabilities.shape[:-1], np.uint8)
    best = probabilities[..., 0].copy()
    for index in range(1, probabilities.shape[-1]):
        values = probabilities[..., index]
        wins = (values > THRESHOLD) & (values >= best)
        labels[wins] = index
        best[wins] = values[wins]
    return labels


def labels_at(probabilities: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Labels of probabilities after a bilinear resize with half-pixel centres.

    The resize is done in strips, so that no more than the labels are held at full size.

    Args:
        probabilities: (P, P, C) float32 of the whole field.
        size_px: (width, height) of an image of the same field.
    Returns:
        (height, width) uint8.
    """
    width, height = size_px
    rows = len(probabilities)
    labels = np.empty((height, width), np.uint8)
    for start in range(0, height, STRIP_ROWS):
        stop = min(start + STRIP_ROWS, height)
        positions = np.clip((np.arange(start, stop) + 0.5) * rows / height - 0.5, 0, rows - 1)
        above = positions.astype(int)
        below = np.minimum(above + 1, rows - 1)
        share = (positions - above).astype(np.float32)[:, None, None]
        strip = (1 - share) * probabilities[above] + share * probabilities[below]
        strip = cv2.resize(strip, (width, stop - start), interpolation=cv2.INTER_LINEAR)
        labels[start:stop] = labels_of(strip)
    return labels


def patchwise_labels(heatmap: Heatmap, size_px: tuple[int, int]) -> np.ndarray:
    """Labels from the heatmap; each pixel takes the label of the patch it lies in.

    Args:
        size_px: (width, height) of an image of the slide's whole field.
    Returns:
        (height, width) uint8; 0 where no patch was classified.
    """
    labels = labels_of(heatmap.values)[..., None]
    return draw_heatmap(dataclasses.replace(heatmap, values=labels), size_px)[..., 0]
