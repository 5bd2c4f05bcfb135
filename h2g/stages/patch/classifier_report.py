"""The report on a run's patch classifier, made again only if its inputs have changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from h2g.data.patch_index import read_patch_index
from h2g.evaluation.patch_tables import ClassifierReport, write_report
from h2g.evaluation.patches import dice_by_threshold, labelled_patches, patch_report
from h2g.files import file_sha256
from h2g.folders.cohort import CohortSlide, Split
from h2g.folders.run import Run
from h2g.slides.heatmap import Heatmap
from h2g.stages.slide_scoring import Evaluator, annotation_sha256, per_slide, stored_document


def report_classifier(evaluator: Evaluator, split: Split, folder: Path) -> None:
    """Writes the report on a split into ``folder``, if the split's slides are indexed."""
    run = evaluator.run
    rows = [row for row in run.cohort.split(split) if run.index_file(row.name).is_file()]
    splits: dict[Split, tuple[CohortSlide, ...]] = {"val": run.cohort.split("val")}
    splits[split] = run.cohort.split(split)
    slides = [row for rows in splits.values() for row in rows]
    key = {
        "made_of": evaluator.made_of,
        "size_px": list(evaluator.size_px),
        "annotations": {row.name: annotation_sha256(row) for row in slides},
        "indexes": {row.name: file_sha256(run.index_file(row.name)) for row in rows},
    }
    if not rows or stored_document(folder / "classifier.json", key) is not None:
        return
    patches, _ = per_slide(
        evaluator,
        rows,
        lambda row: labelled_patches(
            row.name, evaluator.heatmap(row), read_patch_index(run.index_file(row.name)).table
        ),
        f"patches of {split}",
    )
    if not any(len(slide.labels) for slide in patches):
        return
    thresholds: dict[Split, dict[float, float]] = {}
    for name, members in splits.items():
        cases, _ = per_slide(
            evaluator,
            members,
            lambda row: (evaluator.heatmap(row), evaluator.truth(row)),
            f"thresholds on {name}",
        )
        if cases:
            thresholds[name] = dice_by_threshold(cases)
    class_names = run.recipe.class_names
    report = ClassifierReport(
        split, class_names, patch_report(patches, len(class_names)), thresholds
    )
    write_report(report, folder, key=key)


def right_patches(run: Run, row: CohortSlide, heatmap: Heatmap | None) -> np.ndarray:
    """Whether each indexed patch of a slide is classified correctly.

    Returns:
        (n,) bool; n is 0 if the slide is not indexed.
    """
    file = run.index_file(row.name)
    if heatmap is None or not file.is_file():
        return np.empty(0, bool)
    patches = labelled_patches(row.name, heatmap, read_patch_index(file).table)
    return patches.probabilities.argmax(axis=-1) == patches.labels
