"""The registry of stages, and the order of the stages of a recipe."""

from __future__ import annotations

from h2g.errors import WrongUseError
from h2g.recipes.recipe import Recipe
from h2g.stages.clusters.clusters_stage import CLUSTERS
from h2g.stages.folds.folds_stage import FOLDS
from h2g.stages.heatmaps.heatmaps_stage import HEATMAPS
from h2g.stages.patch.patch_stage import PATCH
from h2g.stages.prepare.prepare_stage import PREPARE
from h2g.stages.refinement.refinement_stage import REFINEMENT
from h2g.stages.stage import SMOOTHED, NetworkKind, StageKind

STAGES: dict[str, StageKind] = {
    kind.name: kind for kind in (PREPARE, CLUSTERS, PATCH, FOLDS, HEATMAPS, REFINEMENT)
}
NETWORKS: dict[str, NetworkKind] = {
    name: kind.network for name, kind in STAGES.items() if kind.network is not None
}


def chain(recipe: Recipe) -> tuple[StageKind, ...]:
    """The stages of a recipe in order; stages that are free to move keep the order of STAGES."""
    wanted = [kind for kind in STAGES.values() if kind.is_in(recipe)]
    needed = {name for kind in wanted for name in kind.needs(recipe)}
    waiting = [kind for kind in STAGES.values() if kind in wanted or kind.name in needed]
    ordered: list[StageKind] = []
    while waiting:
        names = {kind.name for kind in waiting}
        ready = next(kind for kind in waiting if not names.intersection(kind.after(recipe)))
        waiting.remove(ready)
        ordered.append(ready)
    return tuple(ordered)


def network_names(recipe: Recipe) -> tuple[str, ...]:
    """Names of the stages of a recipe whose networks run on slides, in order."""
    return tuple(kind.name for kind in chain(recipe) if kind.network is not None)


def find_stage(recipe: Recipe, name: str) -> StageKind:
    """A stage of a recipe by name; WrongUseError if the recipe does not have it."""
    stages = {kind.name: kind for kind in chain(recipe)}
    if name not in stages:
        raise WrongUseError(
            f"The recipe '{recipe.name}' has no {name} stage, only {', '.join(stages)}. Choose one "
            "of those."
        )
    return stages[name]


def variants() -> tuple[str, ...]:
    """Names of all variants that evaluation can score, in the order of tables."""
    first, *others = dict.fromkeys(network.variant for network in NETWORKS.values())
    return first, SMOOTHED, *others
