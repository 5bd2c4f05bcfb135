"""Lesions found one by one: connected areas of prediction and truth, matched by their overlap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from h2g.annotations.raster import UNKNOWN

LEAST_IOU = 0.5


@dataclass(frozen=True)
class Lesions:
    """The lesions of one class on some slides, and those of a prediction.

    Attributes:
        true_mm2: (n,) float, area of each true lesion.
        is_found: (n,) bool, whether a predicted lesion is matched to it.
        predicted: number of predicted lesions.
    """

    true_mm2: np.ndarray
    is_found: np.ndarray
    predicted: int

    @property
    def found(self) -> int:
        return int(self.is_found.sum())

    @property
    def precision(self) -> float:
        """Share of the predicted lesions that are true; NaN if there are none."""
        return self.found / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true lesions that are found; NaN if there are none."""
        return self.found / len(self.true_mm2) if len(self.true_mm2) else float("nan")

    @property
    def f1(self) -> float:
        """2 found / (true + predicted); NaN without any lesion."""
        both = len(self.true_mm2) + self.predicted
        return 2 * self.found / both if both else float("nan")

    def within(self, smallest_mm2: float, largest_mm2: float) -> Lesions:
        """The true lesions above one area and up to another; all predicted ones."""
        kept = (self.true_mm2 > smallest_mm2) & (self.true_mm2 <= largest_mm2)
        return Lesions(self.true_mm2[kept], self.is_found[kept], self.predicted)


def match_lesions(
    predicted: np.ndarray,
    truth: np.ndarray,
    label: int,
    *,
    pixel_mm2: float,
    least_iou: float = LEAST_IOU,
    least_mm2: float = 0.0,
) -> Lesions:
    """Matches lesions one to one, the pairs with the largest overlap first.

    A lesion is an area of pixels that touch at sides or corners. Predicted pixels whose truth is
    unknown do not count.

    Args:
        predicted, truth: (height, width) labels.
        label: the class.
        pixel_mm2: area of a pixel.
        least_iou: intersection / union above which a pair matches.
        least_mm2: smaller lesions are ignored in both.
    """
    mask = (predicted == label) & (truth != UNKNOWN)
    found, found_px = _areas(mask, least_mm2 / pixel_mm2)
    true, true_px = _areas(truth == label, least_mm2 / pixel_mm2)
    pairs, shared = np.unique(
        np.stack([true, found])[:, (true > 0) & (found > 0)], axis=1, return_counts=True
    )
    ious = shared / (true_px[pairs[0]] + found_px[pairs[1]] - shared)
    is_found = np.zeros(len(true_px), bool)
    is_taken = np.zeros(len(found_px), bool)
    for place in np.argsort(-ious, kind="stable"):
        one, other = pairs[:, place]
        if ious[place] > least_iou and not is_found[one] and not is_taken[other]:
            is_found[one] = is_taken[other] = True
    kept = np.flatnonzero(true_px)
    return Lesions(true_px[kept] * pixel_mm2, is_found[kept], int((found_px > 0).sum()))


def together(lesions: Iterable[Lesions]) -> Lesions:
    """The lesions of several slides."""
    each = list(lesions)
    return Lesions(
        np.concatenate([slide.true_mm2 for slide in each] or [np.empty(0)]),
        np.concatenate([slide.is_found for slide in each] or [np.empty(0, bool)]),
        sum(slide.predicted for slide in each),
    )


def _areas(mask: np.ndarray, least_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Connected areas: (height, width) int32 numbers, 0 outside, and (n + 1,) pixels by number.

    Areas below ``least_px`` have the number 0, and 0 pixels.
    """
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    pixels = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    pixels[0] = 0
    small = pixels < least_px
    pixels[small] = 0
    numbers[small[numbers]] = 0
    return numbers, pixels
