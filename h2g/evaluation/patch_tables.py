"""Files of the patch classifier's report: patches.csv, classifier.md, .png and .json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from h2g.evaluation.patches import PatchReport
from h2g.files import write_text
from h2g.folders.cohort import Split
from h2g.reporting.classifier import draw_classifier
from h2g.tables import markdown_table, score_cell, write_csv


@dataclass(frozen=True)
class ClassifierReport:
    """Scores of the classifier on a split, and Dice of its heatmap at several thresholds.

    Attributes:
        class_names: background first.
        thresholds: the heatmap's mean Dice at each threshold, by split. If there are validation
            slides, ``val`` comes first, since the threshold is chosen there.
    """

    split: Split
    class_names: tuple[str, ...]
    patches: PatchReport
    thresholds: dict[Split, dict[float, float]]

    @property
    def chosen_threshold(self) -> float | None:
        """The best threshold on the validation slides; the nearest to 0.5 if several are equal."""
        dice = self.thresholds.get("val")
        if not dice:
            return None
        return max(dice, key=lambda threshold: (dice[threshold], -abs(threshold - 0.5)))


def write_report(report: ClassifierReport, folder: Path, *, key: dict[str, Any]) -> None:
    """Writes the four files; ``key`` identifies their sources and is stored in the JSON."""
    write_csv(report.patches.slides, folder / "patches.csv")
    write_text(folder / "classifier.md", markdown(report))
    draw_classifier(
        folder / "classifier.png",
        calibration=report.patches.calibration,
        ece=report.patches.ece,
        confusion=report.patches.confusion,
        class_names=report.class_names,
        dice_by_threshold=report.thresholds,
    )
    # Written last, so a folder that holds it is complete.
    document = json.dumps({"key": key, **report_document(report)}, indent=2)
    write_text(folder / "classifier.json", document + "\n")


def report_document(report: ClassifierReport) -> dict[str, Any]:
    patches = report.patches
    return {
        "split": report.split,
        "patches": int(patches.confusion.sum()),
        **{name: _mean_sd(patches.slides[name]) for name in ("accuracy", "auc")},
        "ece": patches.ece,
        "classes": list(report.class_names),
        "confusion": patches.confusion.tolist(),
        "calibration": patches.calibration.to_dict("list"),
        "chosen_threshold": report.chosen_threshold,
        "dice_by_threshold": {
            split: {f"{threshold:g}": value for threshold, value in dice.items()}
            for split, dice in report.thresholds.items()
        },
    }


def markdown(report: ClassifierReport) -> str:
    document = report_document(report)
    accuracy, auc = document["accuracy"], document["auc"]
    rows = [
        [
            str(row["slide"]),
            f"{row['patches']:,}",
            score_cell(row["accuracy"]),
            score_cell(row["auc"]),
        ]
        for row in report.patches.slides.to_dict("records")
    ]
    return (
        "\n\n".join(
            [
                f"# The patch classifier on {report.split}",
                f"{document['patches']:,} labelled patches. Patches that are partly tumour have no "
                "label. Macro mean over slides ± standard deviation (ddof 0): accuracy "
                f"{accuracy['mean']:.3f} ± {accuracy['sd']:.3f}, AUC of tumour against background "
                f"{auc['mean']:.3f} ± {auc['sd']:.3f}. Expected calibration error "
                f"{report.patches.ece:.3f}. {_threshold_sentence(report)}",
                markdown_table(["slide", "patches", "accuracy", "AUC"], rows),
                "![Calibration, confusion, threshold](classifier.png)",
            ]
        )
        + "\n"
    )


def _threshold_sentence(report: ClassifierReport) -> str:
    chosen = report.chosen_threshold
    if chosen is None:
        return "No threshold can be chosen without validation slides."
    dice = report.thresholds[report.split]
    return (
        f"On the validation slides the heatmap is best at a threshold of {chosen:g}. Its mean Dice "
        f"on {report.split} is {dice[chosen]:.3f} there, and {dice[0.5]:.3f} at 0.5."
    )


def _mean_sd(values: ArrayLike) -> dict[str, float]:
    """Mean and SD (ddof 0) over the slides that have a value."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if not len(known):
        return {"mean": float("nan"), "sd": float("nan")}
    return {"mean": float(known.mean()), "sd": float(known.std())}
