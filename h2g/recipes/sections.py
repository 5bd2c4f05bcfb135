"""The sections of a recipe that stages work by."""

from __future__ import annotations

from h2g.errors import RunError
from h2g.recipes.clustering import ClusteringSettings
from h2g.recipes.patch import PatchStage
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage


def patch_settings(recipe: Recipe) -> PatchStage:
    """The stage's section of a recipe; RunError if the recipe has none."""
    if recipe.patch is None:
        raise RunError(f"The recipe '{recipe.name}' has no patch stage. Choose another recipe.")
    return recipe.patch


def refinement_settings(recipe: Recipe) -> RefinementStage:
    """The stage's section of a recipe; RunError if the recipe has none."""
    if recipe.refinement is None:
        raise RunError(
            f"The recipe '{recipe.name}' has no refinement stage. Choose another recipe."
        )
    return recipe.refinement


def clustering_settings(
    recipe: Recipe, *, features: str | None = None, weights: str | None = None
) -> ClusteringSettings:
    """Settings of the recipe, or else of the paper, with the given values replaced."""
    given = {"features": features, "weights": weights}
    settings = recipe.clustering or ClusteringSettings()
    return settings.model_copy(update={key: value for key, value in given.items() if value})
