"""The stage ``heatmaps``: what the refinement network is shown of its slides."""

from __future__ import annotations

from h2g.files import same_files
from h2g.folders.run import Run
from h2g.recipes.recipe import Recipe
from h2g.stages.folds.fold_models import fold_models
from h2g.stages.folds.folds_stage import FOLDS
from h2g.stages.stage import StageKind
from h2g.training.resources import Resources

FOLDER = "heatmaps"


def _is_in(recipe: Recipe) -> bool:
    """Without a refinement network nothing needs heatmaps, without a classifier nothing makes
    them."""
    return recipe.patch is not None and recipe.refinement is not None


def _work(run: Run, resources: Resources) -> None:
    from h2g.stages.heatmaps.make_heatmaps import make_heatmaps

    make_heatmaps(run, threads=resources.jobs)


def _differences(run: Run, other: Run) -> list[str]:
    differing = FOLDS.differences(run, other)
    if not differing and not same_files(fold_models(run), fold_models(other)):
        return ["the folds' classifiers (reuse its patch/folds too, first)"]
    return differing


HEATMAPS = StageKind(
    name="heatmaps",
    is_in=_is_in,
    work=_work,
    folder=FOLDER,
    after=lambda recipe: ("patch", "folds"),
    is_whole=lambda run: any((run.path / FOLDER).rglob("*.tiff")),
    reusable=True,
    follows_from=FOLDS.follows_from,
    differences=_differences,
)
