"""A figure on a patch classifier: calibration, confusion, Dice by threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from h2g.reporting.plots import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE = "#0072B2", "#D55E00"


def draw_classifier(
    png: Path,
    *,
    calibration: pd.DataFrame,
    ece: float,
    confusion: np.ndarray,
    class_names: Sequence[str],
    dice_by_threshold: Mapping[Any, Mapping[float, float]],
) -> None:
    """Draws three panels: calibration, confusion matrix, Dice by threshold.

    Args:
        calibration: columns probability, share, patches.
        ece: expected calibration error.
        confusion: (C, C) int; rows are the true classes.
        dice_by_threshold: mean Dice by threshold, for each split.
    """
    figure = new_figure((12.5, 3.9), layout="constrained")
    reliability, matrix, thresholds = figure.subplots(1, 3)
    _draw_reliability(reliability, calibration, ece)
    _draw_confusion(matrix, confusion, class_names, title="patches")
    for colour, (split, dice) in zip((BLUE, ORANGE), dice_by_threshold.items(), strict=False):
        best = max(dice, key=lambda threshold: dice[threshold])
        thresholds.plot(list(dice), list(dice.values()), color=colour, label=split)
        thresholds.plot(best, dice[best], "o", color=colour)
        thresholds.annotate(
            f"{best:g}: {dice[best]:.3f}", (best, dice[best]), xytext=(0, 7),
            textcoords="offset points", ha="center", color=colour, fontsize=9,
        )  # fmt: skip
    thresholds.axvline(0.5, color="0.7", linestyle=":")
    thresholds.set(xlabel="threshold on the tumour probability", ylabel="mean Dice of the heatmap")
    thresholds.set_title("threshold", fontsize=11)
    thresholds.margins(y=0.12)
    thresholds.legend(frameon=False, fontsize=9, loc="lower center")
    for axes in (reliability, thresholds):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, png)


def draw_confusion_matrix(
    png: Path, confusion: np.ndarray, class_names: Sequence[str], *, title: str
) -> None:
    """Draws a confusion matrix with counts and shares of each true class (its row)."""
    figure = new_figure((4.6, 4.2), layout="constrained")
    _draw_confusion(figure.subplots(), confusion, class_names, title=title)
    save_figure(figure, png)


def _draw_reliability(axes: Axes, calibration: pd.DataFrame, ece: float) -> None:
    counts = calibration["patches"].to_numpy()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":")
    axes.plot(calibration["probability"], calibration["share"], color=BLUE)
    axes.scatter(
        calibration["probability"], calibration["share"], color=BLUE, zorder=3,
        s=12 + 120 * counts / counts.max(),
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="tumour probability", ylabel="share that is tumour")
    axes.set_title(f"calibration, ECE {ece:.3f} (size: patches)", fontsize=11)


def _draw_confusion(
    axes: Axes, confusion: np.ndarray, class_names: Sequence[str], *, title: str
) -> None:
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, col in np.ndindex(*confusion.shape):
        axes.text(
            col, row, f"{confusion[row, col]:,}\n{shares[row, col]:.1%}", ha="center", va="center",
            color="white" if shares[row, col] > 0.55 else "black",
        )  # fmt: skip
    positions = range(len(class_names))
    axes.set_xticks(positions, class_names)
    axes.set_yticks(positions, class_names, rotation=90, va="center")
    axes.set(xlabel="found", ylabel="true")
    axes.set_title(title, fontsize=11)
