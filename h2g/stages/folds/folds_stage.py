"""The stage ``folds``: further classifiers, each trained without one fold of the slides."""

from __future__ import annotations

from typing import Any

from h2g.folders.run import Run
from h2g.recipes.recipe import Recipe
from h2g.stages.folds.fold_models import FOLDER, fold_count, fold_models
from h2g.stages.patch.patch_stage import PATCH
from h2g.stages.stage import StageKind
from h2g.training.resources import Resources


def _work(run: Run, resources: Resources) -> None:
    from h2g.stages.folds.train_folds import train_folds

    train_folds(run, resources)


def _check(run: Run, resources: Resources) -> None:
    from h2g.stages.folds.train_folds import check_folds

    check_folds(run)


def _is_in(recipe: Recipe) -> bool:
    return recipe.patch is not None and fold_count(recipe) > 0


def _differences(run: Run, other: Run) -> list[str]:
    from h2g.stages.folds.train_folds import differing_folds

    return differing_folds(run, other)


def _summary(run: Run) -> dict[str, Any]:
    from h2g.stages.folds.train_folds import folds_summary

    return folds_summary(run)


FOLDS = StageKind(
    name="folds",
    is_in=_is_in,
    work=_work,
    folder=FOLDER,
    after=lambda recipe: ("patch",),
    is_whole=lambda run: all(model.is_file() for model in fold_models(run)),
    check=_check,
    is_trained=True,
    reusable=True,
    follows_from=PATCH.follows_from,
    differences=_differences,
    summary=_summary,
)
