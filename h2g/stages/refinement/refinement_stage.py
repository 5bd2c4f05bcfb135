"""The stage ``refinement``: a network that sees the whole slide at low resolution."""

from __future__ import annotations

from typing import Any

from h2g.engines.engine import Feed
from h2g.folders.cohort import Split
from h2g.folders.run import Run
from h2g.recipes.recipe import Recipe
from h2g.recipes.sections import refinement_settings
from h2g.stages.refinement.refine import refine
from h2g.stages.stage import NetworkKind, StageKind, has_files
from h2g.training.resources import Resources

SEEN = {
    "both": "low-resolution slide and heatmap",
    "heatmap": "heatmap",
    "image": "low-resolution slide",
}


def _work(run: Run, resources: Resources) -> None:
    from h2g.stages.refinement.train_refinement import train_refinement

    train_refinement(run, resources)


def _check(run: Run, resources: Resources) -> None:
    from h2g.stages.refinement.window_training import check_windows
    from h2g.training.fit import check_strategy

    check_strategy("refinement", refinement_settings(run.recipe), resources.strategy)
    check_windows(run)


def _summary(run: Run) -> dict[str, Any]:
    from h2g.training.history import history_summary

    return history_summary(run.stage_folder("refinement") / "history.csv")


def _shapes(recipe: Recipe) -> list[tuple[int | None, ...]]:
    settings, classes = refinement_settings(recipe), len(recipe.class_names)
    side = settings.input_px
    inputs = {"image": (side, side, 3), "heatmap": (side, side, classes - 1)}
    input_shapes = [shape for name, shape in inputs.items() if settings.inputs in {name, "both"}]
    return [*input_shapes, (side, side, classes)]


def _sees(recipe: Recipe) -> str:
    settings = refinement_settings(recipe)
    side = settings.input_px
    part = "whole slide" if settings.field == "whole" else f"window of {settings.window_mm:g} mm"
    return f"{SEEN[settings.inputs]} -> {side} x {side} class probabilities of the {part}"


def _samples(run: Run, split: Split, count: int) -> list[Feed]:
    from h2g.stages.refinement.refinement_samples import slide_feeds

    return slide_feeds(run, split, count)


REFINEMENT = StageKind(
    name="refinement",
    is_in=lambda recipe: recipe.refinement is not None,
    work=_work,
    folder="refinement",
    after=lambda recipe: ("prepare", "heatmaps"),
    # Without a classifier there are no heatmaps, and the network sees only the slide.
    needs=lambda recipe: () if recipe.patch is None else ("heatmaps",),
    is_whole=has_files("refinement/model.keras"),
    check=_check,
    is_trained=True,
    summary=_summary,
    network=NetworkKind(
        architecture=lambda recipe: refinement_settings(recipe).model,
        shapes=_shapes,
        many=False,
        limit=1e-3,
        sees=_sees,
        variant="refined",
        apply=refine,
        samples=_samples,
        sample_counts=(2, 4),
    ),
)
