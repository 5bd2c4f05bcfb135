"""Pixels counted by true and found class, and the scores that papers on tiles print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from h2g.annotations.raster import UNKNOWN


@dataclass(frozen=True)
class Confusion:
    """Counts of pixels, and scores from them.

    A class that is neither true nor found does not count in a mean over classes.

    Attributes:
        counts: (C, C) int64; rows are the true classes, columns the found ones.
    Source: HI-Net (2023), equations 7 to 9. Equation 9 is printed without the class frequencies,
        which its name has.
    """

    counts: np.ndarray

    @property
    def accuracy(self) -> float:
        """Acc: share of pixels that have their true class; NaN without pixels."""
        return _ratio(np.trace(self.counts), self.counts.sum())

    @property
    def mean_accuracy(self) -> float:
        """MPA: mean over the true classes of the share of their pixels that are found."""
        true = self.counts.sum(axis=1)
        return _mean(np.diag(self.counts)[true > 0] / true[true > 0])

    @property
    def mean_iou(self) -> float:
        """MIoU: mean over classes of intersection / union."""
        return _mean(self._ious()[self._union() > 0])

    @property
    def weighted_iou(self) -> float:
        """FWIoU: intersection / union, weighted by the share of pixels with this true class."""
        true = self.counts.sum(axis=1)
        return _ratio((self._ious() * true).sum(), true.sum())

    @property
    def precision(self) -> np.ndarray:
        """(C,) float; NaN for a class that is never found."""
        return self._shares(self.counts.sum(axis=0))

    @property
    def recall(self) -> np.ndarray:
        """(C,) float; NaN for a class that is never true."""
        return self._shares(self.counts.sum(axis=1))

    @property
    def f1(self) -> np.ndarray:
        """(C,) float: 2 TP / (true + found); NaN for a class without pixels."""
        both = self.counts.sum(axis=0) + self.counts.sum(axis=1)
        return 2 * self._shares(both)

    def _shares(self, of: np.ndarray) -> np.ndarray:
        shares = np.full(len(of), np.nan)
        np.divide(np.diag(self.counts), of, out=shares, where=of > 0)
        return shares

    def _union(self) -> np.ndarray:
        return self.counts.sum(axis=0) + self.counts.sum(axis=1) - np.diag(self.counts)

    def _ious(self) -> np.ndarray:
        return np.diag(self.counts) / np.maximum(self._union(), 1)


def count_pixels(found: np.ndarray, truth: np.ndarray, class_count: int) -> Confusion:
    """Counts the pixels of two label images.

    Args:
        found, truth: of equal shape, labels from 0; pixels whose truth is UNKNOWN do not count.
    """
    known = truth != UNKNOWN
    places = truth[known].astype(np.int64) * class_count + found[known]
    counts = np.bincount(places, minlength=class_count**2)
    return Confusion(counts.reshape(class_count, class_count))


def total(confusions: Iterable[Confusion], class_count: int) -> Confusion:
    """The counts of all of them together."""
    counts = np.zeros((class_count, class_count), np.int64)
    for confusion in confusions:
        counts += confusion.counts
    return Confusion(counts)


def majority(labels: np.ndarray, cells: int, class_count: int) -> np.ndarray:
    """The class of most known pixels in each square of a grid.

    Args:
        labels: (S, S) uint8; S is a multiple of ``cells``.
    Returns:
        (cells, cells) uint8; UNKNOWN where no pixel is known. The lower of two equal classes.
    """
    step = labels.shape[0] // cells
    squares = labels.reshape(cells, step, cells, step)
    counts = np.stack([(squares == label).sum(axis=(1, 3)) for label in range(class_count)])
    found = counts.argmax(axis=0).astype(np.uint8)
    found[counts.sum(axis=0) == 0] = UNKNOWN
    return found


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
