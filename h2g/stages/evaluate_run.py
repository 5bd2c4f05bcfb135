"""Scores a run on a split, slide by slide: patch-wise, smoothed and refined.

Writes run/evaluation/<split>/: scores.csv, table.md, scores.json, lesions.csv, lesions.md,
slides/<slide>.json (counts, and the models they are from), labels/<slide>.png (the scored
segmentation), overlays/, and the report on the patch network (h2g.evaluation.patch_tables,
h2g.evaluation.tile_tables). An interrupted evaluation can be resumed.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from dataclasses import asdict

from h2g.engines.engine import Network
from h2g.errors import H2GError
from h2g.evaluation.lesion_tables import write_lesions
from h2g.evaluation.overlays import write_overlays
from h2g.evaluation.scores import Evaluation
from h2g.evaluation.smoothing import CANDIDATES_UM, Smoothing, choose_smoothing
from h2g.evaluation.tables import write_tables
from h2g.files import file_sha256, write_text
from h2g.folders.cohort import Split
from h2g.folders.run import Run
from h2g.recipes.recipe import Recipe
from h2g.stages.chain import NETWORKS, STAGES, network_names, variants
from h2g.stages.run_network import open_run_network
from h2g.stages.slide_scoring import (
    Evaluator,
    annotation_sha256,
    per_slide,
    score_slide,
    slide_lesions,
    slides_to_score,
    stored_document,
)
from h2g.stages.stage import SMOOTHED

logger = logging.getLogger(__name__)
# Side of the raster if no network sets it.
SIDE_PX = 1024


def open_by_name(run: Run, name: str) -> Network:
    """The network of a run's stage."""
    return open_run_network(run, STAGES[name])


def evaluate_run(
    run: Run,
    split: Split,
    *,
    threads: int = 2,
    open_network: Callable[[Run, str], Network] = open_by_name,
) -> Evaluation:
    """Scores every slide of a split and writes the tables and overlays.

    Slides are not scored again if networks, annotation and smoothing are unchanged.

    Args:
        threads: number of threads that read patches if a heatmap is missing.
        open_network: opens a network by stage name; called when the network is first needed.
    Raises:
        RunError: the split is empty, or a network is not trained.
        H2GError: no slide could be scored.
    """
    evaluator = open_evaluator(run, open_network, threads)
    rows = slides_to_score(run, split)
    folder = run.evaluation_folder(split)
    with run.stage("evaluation"):
        smoothing = _smoothing(evaluator) if evaluator.has_heatmaps else None
        sigma_um = smoothing.sigma_um if smoothing else None
        scored, failed = per_slide(
            evaluator,
            rows,
            lambda row: score_slide(evaluator, row, sigma_um, folder),
            f"scoring {split}",
        )
        if not scored:
            reasons = " ".join(f"{slide.slide}: {slide.reason}" for slide in failed)
            raise H2GError(
                f"None of the {len(rows)} slides of '{split}' could be scored. {reasons}"
            )
        evaluation = Evaluation(
            split=split,
            class_names=run.recipe.class_names[1:],
            size_px=evaluator.size_px,
            sigma_um=sigma_um,
            variants=_scored_variants(evaluator, sigma_um),
            final_variant=evaluator.variants[-1],
            all_variants=variants(),
            slides=tuple(scored),
            failed=tuple(failed),
        )
        write_tables(evaluation, folder)
        named = {row.name: row for row in rows}
        lesions = {
            slide.slide: slide_lesions(evaluator, named[slide.slide], folder) for slide in scored
        }
        write_lesions(lesions, folder)
        for network in evaluator.networks.values():
            if network.report is not None:
                network.report(evaluator, split, folder)
        write_overlays(run, evaluation, folder)
    return evaluation


def _scored_variants(evaluator: Evaluator, sigma_um: float | None) -> tuple[str, ...]:
    scored = {*evaluator.variants, *([SMOOTHED] if sigma_um is not None else [])}
    return tuple(variant for variant in variants() if variant in scored)


def open_evaluator(
    run: Run, open_network: Callable[[Run, str], Network], threads: int
) -> Evaluator:
    """What the slides of a run are scored with; RunError if a network is not trained."""
    models = run.trained_models(network_names(run.recipe))
    made_of = {"recipe": file_sha256(run.recipe_file)}
    made_of |= {stage: file_sha256(file) for stage, file in models.items()}
    open_once = functools.cache(functools.partial(open_network, run))
    kinds = {name: NETWORKS[name] for name in network_names(run.recipe)}
    return Evaluator(run, kinds, open_once, threads, made_of, raster_size(run.recipe))


def raster_size(recipe: Recipe) -> tuple[int, int]:
    """(width, height) of the raster on which pixels are counted.

    It has the size of the last network's output if that covers the slide's field.
    """
    *_, last = network_names(recipe)
    *_, output = NETWORKS[last].shapes(recipe)
    covers_field = not NETWORKS[last].many and recipe.low_resolution.windows is None
    rows, cols = output[:2] if len(output) == 3 and covers_field else (None, None)
    return (cols or SIDE_PX, rows or SIDE_PX)


def _smoothing(evaluator: Evaluator) -> Smoothing | None:
    """The smoothing chosen on the validation slides, stored in evaluation/smoothing.json."""
    run = evaluator.run
    rows = run.cohort.split("val")
    file = run.smoothing_file
    key = {
        "recipe": evaluator.made_of["recipe"],
        "made_of": evaluator.made_of[next(iter(evaluator.networks))],
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
        logger.warning("%s is not used to choose the smoothing: %s", slide.slide, slide.reason)
    if not cases:
        logger.warning("No validation slide could be read, so there is no smoothed variant.")
        return None
    smoothing = choose_smoothing(cases, run.recipe.class_names)
    if not failed:
        write_text(file, json.dumps({"key": key, **asdict(smoothing)}, indent=2) + "\n")
    return smoothing
