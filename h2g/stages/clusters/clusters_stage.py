"""The stage ``cluster``: tissue types among the training patches."""

from __future__ import annotations

from h2g.folders.run import Run
from h2g.recipes.recipe import Recipe
from h2g.stages.stage import StageKind, has_files
from h2g.training.resources import Resources

FOLDER = "clusters"


def _work(run: Run, resources: Resources) -> None:
    from h2g.stages.clusters.find_clusters import clustering_settings, find_clusters

    find_clusters(run, clustering_settings(run))


def _after(recipe: Recipe) -> tuple[str, ...]:
    """The stage comes before the classifier, unless it clusters the classifier's features."""
    needs_classifier = recipe.clustering is not None and recipe.clustering.features == "patch"
    return ("prepare", "patch") if needs_classifier else ("prepare",)


CLUSTERS = StageKind(
    name="cluster",
    is_in=lambda recipe: recipe.patch is not None and recipe.clustering is not None,
    work=_work,
    folder=FOLDER,
    after=_after,
    is_whole=has_files(f"{FOLDER}/model.keras"),
    reusable=True,
    follows_from=lambda recipe: ("clustering",),
)
