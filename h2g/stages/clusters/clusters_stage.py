"""The stage ``cluster``: tissue types among the training patches."""

from __future__ import annotations

import logging

from h2g.folders.run import Run
from h2g.recipes.clustering import ClusteringSettings
from h2g.recipes.recipe import Recipe
from h2g.recipes.sections import clustering_settings
from h2g.stages.clusters.cluster_files import FOLDER
from h2g.stages.stage import StageKind, has_files
from h2g.training.resources import Resources

logger = logging.getLogger(__name__)


def _work(run: Run, resources: Resources) -> None:
    from h2g.stages.clusters.find_clusters import find_clusters

    find_clusters(run, clustering_settings(run.recipe))


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


def cluster_run(run: Run, settings: ClusteringSettings) -> None:
    """Runs only the cluster stage of a prepared run, unless it is done."""
    if CLUSTERS.is_finished(run):
        logger.info("%s: the %s stage is done.", run.path, CLUSTERS.name)
        return
    from h2g.stages.clusters.find_clusters import find_clusters

    with run.stage(CLUSTERS.name):
        find_clusters(run, settings)
