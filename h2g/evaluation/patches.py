"""Scores of the patch classifier alone: accuracy, AUC, calibration, the threshold.

They are computed from the heatmaps and the indexed patches of a split, so no patch is classified
again. Patches that are partly tumour have no label and are left out (Pedersen et al. 2022, section
2.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, roc_auc_score

from h2g.annotations.raster import UNKNOWN
from h2g.evaluation.scores import Counts
from h2g.slides.heatmap import Heatmap, draw_heatmap

BINS = 10
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True)
class LabelledPatches:
    """Indexed patches of one slide that have a value in its heatmap.

    Attributes:
        probabilities: (n, C) float32.
        labels: (n,) int, 0 is background.
    """

    slide: str
    probabilities: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class PatchReport:
    """Scores of the patch classifier on a split.

    Attributes:
        slides: one row per slide: slide, patches, accuracy, auc (tumour against background; NaN if
            the slide has only one of them).
        confusion: (C, C) int, rows are true classes, columns predicted ones.
        calibration: one row per bin of the tumour probability that holds patches: probability
            (mean), share (of tumour patches), patches.
        ece: expected calibration error, the mean over patches of |probability - share| of their
            bin.
    """

    slides: pd.DataFrame
    confusion: np.ndarray
    calibration: pd.DataFrame
    ece: float


def labelled_patches(slide: str, heatmap: Heatmap, index: pd.DataFrame) -> LabelledPatches:
    """The patches of a slide's index with their probabilities in the heatmap.

    Args:
        index: columns row, col and label (h2g.data.patch_index).
    """
    values = heatmap.values[index["row"].to_numpy(), index["col"].to_numpy()]
    # The index may hold patches that the tissue rule of a later heatmap leaves out.
    classified = values.sum(axis=1) > 0
    return LabelledPatches(slide, values[classified], index["label"].to_numpy()[classified])


def patch_report(slides: Sequence[LabelledPatches], class_count: int) -> PatchReport:
    """The report over all patches, with accuracy and AUC per slide."""
    probabilities = np.concatenate([slide.probabilities for slide in slides])
    labels = np.concatenate([slide.labels for slide in slides])
    calibration = _calibration(1 - probabilities[:, 0], labels > 0)
    gaps = (calibration["probability"] - calibration["share"]).abs()
    return PatchReport(
        slides=pd.DataFrame([_slide_row(slide) for slide in slides]),
        confusion=confusion_matrix(
            labels, probabilities.argmax(axis=1), labels=list(range(class_count))
        ),
        calibration=calibration,
        ece=float(np.average(gaps, weights=calibration["patches"])) if len(labels) else np.nan,
    )


def dice_by_threshold(slides: Iterable[tuple[Heatmap, np.ndarray]]) -> dict[float, float]:
    """Mean Dice over slides of "tumour probability above t", all tumour classes together.

    Args:
        slides: heatmap and true labels, (h, w) uint8, of each slide.
    """
    dice: dict[float, list[float]] = {threshold: [] for threshold in THRESHOLDS}
    for heatmap, labels in slides:
        tumour = draw_heatmap(heatmap, (labels.shape[1], labels.shape[0]))[..., 1:].sum(axis=-1)
        truth, known = (labels > 0) & (labels != UNKNOWN), labels != UNKNOWN
        for threshold in THRESHOLDS:
            predicted = (tumour > threshold) & known
            counts = Counts(int(truth.sum()), int(predicted.sum()), int((predicted & truth).sum()))
            dice[threshold].append(counts.score.dice)
    return {threshold: float(np.mean(values)) for threshold, values in dice.items()}


def _slide_row(slide: LabelledPatches) -> dict[str, object]:
    tumour = slide.labels > 0
    both = tumour.any() and not tumour.all()
    right = slide.probabilities.argmax(axis=1) == slide.labels
    return {
        "slide": slide.slide,
        "patches": len(slide.labels),
        "accuracy": float(right.mean()) if len(right) else np.nan,
        "auc": float(roc_auc_score(tumour, 1 - slide.probabilities[:, 0])) if both else np.nan,
    }


def _calibration(probability: np.ndarray, tumour: np.ndarray) -> pd.DataFrame:
    # A probability of exactly 1 belongs to the last bin.
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    table = pd.DataFrame({"bin": bins, "probability": probability, "share": tumour})
    grouped = table.groupby("bin").agg(
        probability=("probability", "mean"), share=("share", "mean"), patches=("bin", "size")
    )
    return grouped.reset_index(drop=True)
