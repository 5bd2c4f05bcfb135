"""Scores a run on a split: patch-wise, smoothed and refined, slide by slide, resumable.

Writes run/evaluation/<split>/: scores.csv, table.md, scores.json, slides/<slide>.json (what was
counted, and with which models), labels/<slide>.png (the segmentation that was scored), overlays/,
and the patch classifier's own report (h2g.evaluation.patch_tables).
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from dataclasses import asdict

from h2g.cohort import Split
from h2g.errors import H2GError, RunError
from h2g.evaluation.classifier import report_classifier
from h2g.evaluation.overlays import write_overlays
from h2g.evaluation.scores import Evaluation
from h2g.evaluation.scoring import (
    Evaluator,
    annotation_sha256,
    per_slide,
    score_slide,
    stored_document,
)
from h2g.evaluation.smoothing import CANDIDATES_UM, Smoothing, choose_smoothing
from h2g.evaluation.tables import write_tables
from h2g.files import file_sha256, write_text
from h2g.inference.engine import Engine
from h2g.runs import Run

logger = logging.getLogger(__name__)
# A side of the raster where no refinement network sets it.
SIDE_PX = 1024


def evaluate_run(
    run: Run, split: Split, open_engine: Callable[[], Engine], *, threads: int = 2
) -> Evaluation:
    """Scores every slide of a split and writes the tables and overlays.

    Slides scored before with the same networks, annotation and smoothing are not scored again.

    Args:
        open_engine: opens the engine of the run's networks; called when one is first needed.
        threads: that decode patches, where a heatmap is missing.
    Raises:
        RunError: an empty split, or networks that are not trained.
        H2GError: not one slide could be scored.
    """
    evaluator = _evaluator(run, open_engine, threads)
    rows = run.cohort.split(split)
    if not rows:
        raise RunError(f"{run.path}: its cohort has no slide in split '{split}'.")
    folder = run.path / "evaluation" / split
    with run.stage("evaluation"):
        smoothing = _smoothing(evaluator) if evaluator.classified else None
        sigma_um = smoothing.sigma_um if smoothing else None
        scored, failed = per_slide(
            evaluator,
            rows,
            lambda row: score_slide(evaluator, row, sigma_um, folder),
            f"scoring {split}",
        )
        if not scored:
            reasons = " ".join(f"{slide.slide}: {slide.reason}" for slide in failed)
            raise H2GError(f"None of the {len(rows)} slides of '{split}' was scored. {reasons}")
        evaluation = Evaluation(
            split=split,
            class_names=run.recipe.class_names[1:],
            size_px=evaluator.size_px,
            sigma_um=sigma_um,
            refined=evaluator.refined,
            slides=tuple(scored),
            failed=tuple(failed),
            classified=evaluator.classified,
        )
        write_tables(evaluation, folder)
        if evaluator.classified:
            report_classifier(evaluator, split, folder)
        write_overlays(run, evaluation, folder)
    return evaluation


def _evaluator(run: Run, open_engine: Callable[[], Engine], threads: int) -> Evaluator:
    settings = run.recipe.refinement
    made_of = {"recipe": file_sha256(run.path / "recipe.yaml")}
    files = run.trained_models(run.recipe.network_stages)
    made_of |= {stage: file_sha256(file) for stage, file in files.items()}
    side_px = SIDE_PX if settings is None else settings.input_px
    return Evaluator(run, functools.cache(open_engine), threads, made_of, (side_px, side_px))


def _smoothing(evaluator: Evaluator) -> Smoothing | None:
    """The width chosen on the validation slides, kept in evaluation/smoothing.json."""
    run = evaluator.run
    rows = run.cohort.split("val")
    file = run.path / "evaluation" / "smoothing.json"
    key = {
        "recipe": evaluator.made_of["recipe"],
        "patch": evaluator.made_of["patch"],
        "size_px": list(evaluator.size_px),
        "candidates_um": list(CANDIDATES_UM),
        "annotations": {row.name: annotation_sha256(row) for row in rows},
    }
    stored = stored_document(file, key)
    if stored is not None:
        means = {float(sigma_um): dice for sigma_um, dice in stored["mean_dice"].items()}
        return Smoothing(stored["sigma_um"], means)
    cases, failed = per_slide(
        evaluator,
        rows,
        lambda row: (evaluator.heatmap(row), evaluator.truth(row)),
        "reading val slides",
    )
    for slide in failed:
        logger.warning("%s has no part in choosing the smoothing: %s", slide.slide, slide.reason)
    if not cases:
        logger.warning("No validation slide could be read: there is no smoothed variant.")
        return None
    smoothing = choose_smoothing(cases, run.recipe.class_names)
    if not failed:
        write_text(file, json.dumps({"key": key, **asdict(smoothing)}, indent=2) + "\n")
    return smoothing
