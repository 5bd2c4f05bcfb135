"""The stage ``patch``: a classifier of patches, whose outputs form the heatmap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from h2g.engines.engine import PATCH_INPUT, Feed, Network
from h2g.folders.cohort import CohortSlide, Split
from h2g.folders.run import Run
from h2g.recipes.recipe import Recipe
from h2g.recipes.sections import patch_settings
from h2g.results.slide_state import SlideState
from h2g.slides.heatmap import Heatmap
from h2g.stages.patch.classify import classify_patches
from h2g.stages.stage import NetworkKind, StageKind, has_files
from h2g.training.resources import Resources


def _work(run: Run, resources: Resources) -> None:
    from h2g.stages.patch.train_patch import train_patch

    train_patch(run, resources)


def _check(run: Run, resources: Resources) -> None:
    from h2g.training.fit import check_strategy

    check_strategy("patch", patch_settings(run.recipe), resources.strategy)


def _after(recipe: Recipe) -> tuple[str, ...]:
    is_clustered = recipe.clustering is not None and recipe.clustering.features == "patch"
    return ("prepare",) if is_clustered else ("prepare", "cluster")


def _follows_from(recipe: Recipe) -> tuple[str, ...]:
    guided = patch_settings(recipe).is_cluster_guided
    return ("patch", "clustering") if guided else ("patch",)


def _summary(run: Run) -> dict[str, Any]:
    from h2g.training.history import history_summary

    return history_summary(run.stage_folder("patch") / "history.csv")


def _shapes(recipe: Recipe) -> list[tuple[int | None, ...]]:
    side, settings = recipe.preprocessing.patch.size_px, patch_settings(recipe)
    cells = () if settings.answer == "class" else (settings.cells, settings.cells)
    return [(side, side, 3), (*cells, len(recipe.class_names))]


def _sees(recipe: Recipe) -> str:
    patch = recipe.preprocessing.patch
    side, cells = patch.size_px, patch_settings(recipe).cells
    output = f"of each of {cells} x {cells} cells" if cells > 1 else "of each class"
    return f"patch of {side} x {side} px at {patch.mpp:g} um/px -> probability {output}"


def _samples(run: Run, split: Split, count: int) -> list[Feed]:
    from h2g.stages.patch.patch_samples import draw_patches

    return [{PATCH_INPUT: patch[np.newaxis]} for patch in draw_patches(run, split, count)]


def _kept(run: Run, row: CohortSlide, open_network: Callable[[], Network], threads: int) -> Heatmap:
    from h2g.stages.heatmaps.kept_heatmaps import slide_heatmap

    return slide_heatmap(run, row, open_network, threads=threads)


def _right(run: Run, row: CohortSlide, state: SlideState) -> np.ndarray:
    from h2g.stages.patch.classifier_report import right_patches

    if patch_settings(run.recipe).answer != "class":
        return np.empty(0, bool)
    return right_patches(run, row, state.heatmap)


def _report(evaluator: Any, split: Split, folder: Path) -> None:
    from h2g.stages.patch.classifier_report import report_classifier
    from h2g.stages.patch.tile_report import report_tiles

    is_class = patch_settings(evaluator.run.recipe).answer == "class"
    (report_classifier if is_class else report_tiles)(evaluator, split, folder)


PATCH = StageKind(
    name="patch",
    is_in=lambda recipe: recipe.patch is not None,
    work=_work,
    folder="patch",
    after=_after,
    is_whole=has_files("patch/model.keras"),
    check=_check,
    is_trained=True,
    reusable=True,
    follows_from=_follows_from,
    summary=_summary,
    network=NetworkKind(
        architecture=lambda recipe: patch_settings(recipe).model,
        shapes=_shapes,
        many=True,
        limit=1e-4,
        sees=_sees,
        variant="patchwise",
        apply=classify_patches,
        samples=_samples,
        sample_counts=(64, 256),
        kept=_kept,
        right=_right,
        report=_report,
    ),
)
