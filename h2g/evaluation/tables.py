"""An evaluation written as JSON, CSV and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from h2g.evaluation.boundaries import TOLERANCE_UM
from h2g.evaluation.scores import METRICS, Evaluation, SlideScores, Summary, summarise
from h2g.files import write_text
from h2g.tables import markdown_table, write_csv

# Titles of variants that differ from their names.
TITLES = {"patchwise": "patch-wise"}


def title(variant: str) -> str:
    return TITLES.get(variant, variant)


def evaluation_document(evaluation: Evaluation) -> dict[str, Any]:
    """The document of ``h2g evaluate --json``: means over slides with SD (ddof 0)."""
    document: dict[str, Any] = {
        "split": evaluation.split,
        "n": len(evaluation.slides),
        **_variants(evaluation, evaluation.slides),
        "grades": {
            grade: {"n": len(slides), **_variants(evaluation, slides)}
            for grade, slides in evaluation.grades().items()
        },
        "slides": [_slide(evaluation, slide) for slide in evaluation.slides],
        "failed": [asdict(failed) for failed in evaluation.failed],
        "size_px": list(evaluation.size_px),
        "result": evaluation.final_variant,
    }
    if document.get("smoothed") is not None:
        document["smoothed"]["sigma_um"] = evaluation.sigma_um
    if len(evaluation.class_names) > 1:
        document["classes"] = {
            name: _variants(evaluation, evaluation.slides, name) for name in evaluation.class_names
        }
    return document


def score_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row per slide, variant and class, with the pixel counts behind the scores."""
    rows = [
        {
            "slide": slide.slide,
            "grade": slide.grade,
            "variant": variant,
            "class": name,
            **asdict(slide.score(variant, name)),
            "true_px": slide.counts[variant][name].true,
            "predicted_px": slide.counts[variant][name].predicted,
            "both_px": slide.counts[variant][name].both,
            "hausdorff95_um": slide.outlines[variant][name].hausdorff95_um,
            "boundary_f1": slide.outlines[variant][name].f1,
        }
        for slide in evaluation.slides
        for variant in evaluation.variants
        for name in evaluation.class_names
    ]
    return pd.DataFrame(rows)


def markdown(evaluation: Evaluation) -> str:
    """The text of table.md."""
    count = len(evaluation.slides)
    sections = [
        f"# Evaluation on {evaluation.split}: {count} slide{'s' if count != 1 else ''}",
        _method(evaluation),
        "## All slides\n\n" + _summary_table(evaluation),
    ]
    if len(evaluation.class_names) > 1:
        sections += [
            f"## Class {name}\n\n" + _summary_table(evaluation, name)
            for name in evaluation.class_names
        ]
    sections += [
        "## Outlines\n\n" + _outline_table(evaluation),
        "## Dice per grade\n\n" + _grade_table(evaluation),
        "## Dice per slide\n\n" + _slide_table(evaluation),
    ]
    if evaluation.failed:
        rows = [[failed.slide, failed.reason] for failed in evaluation.failed]
        sections.append("## Not scored\n\n" + markdown_table(["slide", "reason"], rows))
    return "\n\n".join(sections) + "\n"


def write_tables(evaluation: Evaluation, folder: Path) -> None:
    """Writes scores.csv, table.md and scores.json."""
    write_csv(score_table(evaluation), folder / "scores.csv")
    write_text(folder / "table.md", markdown(evaluation))
    text = json.dumps(evaluation_document(evaluation), indent=2, ensure_ascii=False)
    write_text(folder / "scores.json", text + "\n")


def _variants(
    evaluation: Evaluation, slides: Sequence[SlideScores], class_name: str | None = None
) -> dict[str, Any]:
    result: dict[str, Any] = dict.fromkeys(evaluation.all_variants)
    for variant in evaluation.variants:
        summary = summarise(slide.score(variant, class_name) for slide in slides)
        result[variant] = {metric: asdict(summary[metric]) for metric in METRICS}
        if class_name is None:
            result[variant] |= asdict(outline_summary(slides, variant))
    return result


@dataclass(frozen=True)
class OutlineSummary:
    """Means over slides with SD (ddof 0).

    Attributes:
        compared: number of slides with a distance. The others have an outline in only one of
            segmentation and annotation.
    """

    hausdorff95_um: Summary | None
    boundary_f1: Summary
    compared: int


def outline_summary(slides: Sequence[SlideScores], variant: str) -> OutlineSummary:
    scores = [slide.outline(variant) for slide in slides]
    distances = [s.hausdorff95_um for s in scores if s.hausdorff95_um is not None]
    return OutlineSummary(
        hausdorff95_um=_mean_sd(distances) if distances else None,
        boundary_f1=_mean_sd([score.f1 for score in scores]),
        compared=len(distances),
    )


def _mean_sd(values: Sequence[float]) -> Summary:
    return Summary(float(np.mean(values)), float(np.std(values)))


def _slide(evaluation: Evaluation, slide: SlideScores) -> dict[str, Any]:
    def scores(class_name: str | None = None) -> dict[str, Any]:
        result: dict[str, Any] = dict.fromkeys(evaluation.all_variants)
        for variant in evaluation.variants:
            result[variant] = asdict(slide.score(variant, class_name))
        return result

    document = {"slide": slide.slide, "grade": slide.grade, **scores()}
    if len(evaluation.class_names) > 1:
        document["classes"] = {name: scores(name) for name in evaluation.class_names}
    return document


def _method(evaluation: Evaluation) -> str:
    width, height = evaluation.size_px
    classes = ", mean over the tumour classes" if len(evaluation.class_names) > 1 else ""
    return (
        f"Segmentation and annotation are compared on a {width} x {height} raster over each "
        "slide's field. Recall is TP / true, precision TP / predicted, "
        f"Dice 2 TP / (true + predicted){classes}; 1 if both are empty, 0 if only one is. "
        f"Macro mean over slides ± standard deviation (ddof 0). {_variants_method(evaluation)}"
    )


def _variants_method(evaluation: Evaluation) -> str:
    if "patchwise" not in evaluation.variants:
        return "This design has no patch classifier; refined is its only segmentation."
    smoothing = (
        "no smoothing width could be chosen because no validation slide could be read"
        if evaluation.sigma_um is None
        else f"smoothed is the heatmap after a Gaussian of {evaluation.sigma_um:g} um, a width "
        "chosen on the validation slides"
    )
    return f"Patch-wise is the heatmap above 0.5; {smoothing}."


def _summary_table(evaluation: Evaluation, class_name: str | None = None) -> str:
    rows = []
    for variant in evaluation.variants:
        summary = summarise(slide.score(variant, class_name) for slide in evaluation.slides)
        cells = [f"{summary[metric].mean:.3f} ± {summary[metric].sd:.3f}" for metric in METRICS]
        rows.append([title(variant), *cells])
    return markdown_table(["", "recall", "precision", "Dice"], rows)


def _outline_table(evaluation: Evaluation) -> str:
    rows = []
    for variant in evaluation.variants:
        summary = outline_summary(evaluation.slides, variant)
        distance, f1 = summary.hausdorff95_um, summary.boundary_f1
        text = f"{distance.mean:.0f} ± {distance.sd:.0f} ({summary.compared})" if distance else "-"
        rows.append([title(variant), text, f"{f1.mean:.3f} ± {f1.sd:.3f}"])
    header = ["", "Hausdorff 95 %, um (slides)", f"F1 within {TOLERANCE_UM:g} um"]
    return markdown_table(header, rows)


def _grade_table(evaluation: Evaluation) -> str:
    rows = []
    for grade, slides in evaluation.grades().items():
        dice = [summarise(s.score(v) for s in slides)["dice"] for v in evaluation.variants]
        cells = [f"{summary.mean:.3f} ± {summary.sd:.3f}" for summary in dice]
        rows.append([grade, str(len(slides)), *cells])
    return markdown_table(["grade", "slides", *(title(v) for v in evaluation.variants)], rows)


def _slide_table(evaluation: Evaluation) -> str:
    rows = [
        [slide.slide, slide.grade, *(f"{slide.score(v).dice:.3f}" for v in evaluation.variants)]
        for slide in evaluation.slides
    ]
    return markdown_table(["slide", "grade", *(title(v) for v in evaluation.variants)], rows)
