"""Recall, precision and Dice, per slide and over slides.

Per slide and class, in pixels: recall = TP / true, precision = TP / predicted,
Dice = 2 TP / (true + predicted). Both empty: 1.0; one empty: 0. With several tumour classes a
slide's score is the mean over them. Over slides: macro mean and standard deviation, ddof 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from h2g.annotations.raster import UNKNOWN
from h2g.evaluation.boundaries import BoundaryScore, boundary_score

Metric = Literal["recall", "precision", "dice"]
METRICS: tuple[Metric, ...] = ("recall", "precision", "dice")


@dataclass(frozen=True)
class Score:
    recall: float
    precision: float
    dice: float


@dataclass(frozen=True)
class Counts:
    """Pixels of one class on one slide."""

    true: int
    predicted: int
    both: int

    @property
    def score(self) -> Score:
        if self.true == 0 and self.predicted == 0:
            return Score(recall=1.0, precision=1.0, dice=1.0)
        return Score(
            recall=self.both / self.true if self.true else 0.0,
            precision=self.both / self.predicted if self.predicted else 0.0,
            dice=2 * self.both / (self.true + self.predicted),
        )


@dataclass(frozen=True)
class SlideScores:
    """Pixel counts and outline scores of one slide, by variant and tumour class."""

    slide: str
    grade: str
    counts: dict[str, dict[str, Counts]]
    outlines: dict[str, dict[str, BoundaryScore]]

    def score(self, variant: str, class_name: str | None = None) -> Score:
        """The score of one class, or the mean over the tumour classes."""
        counts = self.counts[variant]
        return mean_score([counts[name].score for name in ([class_name] if class_name else counts)])

    def outline(self, variant: str) -> BoundaryScore:
        """The mean over the tumour classes; the distance is None if a class has none."""
        scores = list(self.outlines[variant].values())
        distances = [s.hausdorff95_um for s in scores if s.hausdorff95_um is not None]
        known = len(distances) == len(scores)
        return BoundaryScore(
            hausdorff95_um=float(np.mean(distances)) if known else None,
            f1=float(np.mean([score.f1 for score in scores])),
        )


@dataclass(frozen=True)
class Summary:
    """Macro mean over slides and standard deviation with ddof 0."""

    mean: float
    sd: float


def count_classes(
    predicted: np.ndarray, truth: np.ndarray, class_names: Sequence[str]
) -> dict[str, Counts]:
    """Pixel counts per tumour class.

    Args:
        predicted, truth: labels of equal shape. Pixels whose truth is UNKNOWN do not count.
        class_names: background first; it is not counted.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"The labels have shape {predicted.shape}, the truth has {truth.shape}.")
    counts, known = {}, truth != UNKNOWN
    for index, name in enumerate(class_names[1:], start=1):
        in_predicted, in_truth = (predicted == index) & known, truth == index
        counts[name] = Counts(
            true=int(in_truth.sum()),
            predicted=int(in_predicted.sum()),
            both=int((in_predicted & in_truth).sum()),
        )
    return counts


def score_outlines(
    predicted: np.ndarray,
    truth: np.ndarray,
    class_names: Sequence[str],
    *,
    pixel_um: tuple[float, float],
) -> dict[str, BoundaryScore]:
    """Outline scores per tumour class; arguments as in :func:`count_classes`."""
    return {
        name: boundary_score(
            predicted == index, truth == index, unknown=truth == UNKNOWN, pixel_um=pixel_um
        )
        for index, name in enumerate(class_names[1:], start=1)
    }


def mean_score(scores: Sequence[Score]) -> Score:
    return Score(**{name: float(np.mean([getattr(s, name) for s in scores])) for name in METRICS})


def summarise(scores: Iterable[Score]) -> dict[Metric, Summary]:
    """Mean and SD over slides of every metric."""
    slides = list(scores)
    values = {name: [getattr(score, name) for score in slides] for name in METRICS}
    return {name: Summary(float(np.mean(v)), float(np.std(v))) for name, v in values.items()}


@dataclass(frozen=True)
class FailedSlide:
    slide: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """Scores of all slides of a split.

    Attributes:
        class_names: the tumour classes.
        size_px: (width, height) of the raster over each slide's whole field, on which pixels
            were counted.
        sigma_um: width of the smoothing; None if no validation slide could be read.
        variants: segmentations scored on every slide, such as ``patchwise`` and ``refined``.
        final_variant: the variant that the system outputs.
        all_variants: every possible variant, in table order.
    """

    split: str
    class_names: tuple[str, ...]
    size_px: tuple[int, int]
    sigma_um: float | None
    variants: tuple[str, ...]
    final_variant: str
    all_variants: tuple[str, ...]
    slides: tuple[SlideScores, ...]
    failed: tuple[FailedSlide, ...] = ()

    def grades(self) -> dict[str, tuple[SlideScores, ...]]:
        names = sorted({slide.grade for slide in self.slides})
        return {name: tuple(s for s in self.slides if s.grade == name) for name in names}
