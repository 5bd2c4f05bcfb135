"""Kinds of stages: how a stage is run, and how its network is used on slides.

To add a kind, write a folder here whose ``..._stage.py`` defines one StageKind. Add its row to
h2g.stages.chain, its section to h2g.recipes.recipe and, if it has a network, that network's row to
h2g.models.registry. No other code refers to a stage by name.

The modules that define stages load no deep-learning library, because prediction from bundles works
without one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from h2g.engines.engine import Feed, Network
from h2g.folders.cohort import CohortSlide, Split
from h2g.folders.run import Run
from h2g.recipes.recipe import Recipe
from h2g.results.slide_state import SlideState
from h2g.slides.heatmap import Heatmap
from h2g.training.resources import Resources

# A further variant that evaluation scores: the first heatmap, smoothed.
SMOOTHED = "smoothed"


@dataclass(frozen=True)
class NetworkKind:
    """The network of a stage: how it is checked, deployed and used.

    Attributes:
        architecture: name of the architecture in the recipe.
        shapes: shapes of the bare network's inputs and its output, without the batch axis; None is
            any length.
        many: whether it runs on many patches of a slide, not once on its low-resolution image.
        limit: largest absolute difference of a probability that a float32 export may have.
        sees: its inputs and output in words, for the model card.
        variant: name of the labels after this network in evaluations.
        apply: runs the network on a slide and adds the result to its state.
        samples: (run, split, count) -> inputs for comparing and calibrating exports, as prediction
            passes them, each with batch size 1; fewer if the split has fewer.
        sample_counts: number of samples for comparing, and for calibrating int8.
        kept: (run, slide, open network, threads) -> the heatmap that a run stores for a slide, made
            if it is missing; None if nothing is stored.
        right: (run, slide, state) -> whether each labelled input is classified correctly, (n,)
            bool. It also measures the cost of int8.
        report: writes evaluation's report on this network alone.
    """

    architecture: Callable[[Recipe], str]
    shapes: Callable[[Recipe], list[tuple[int | None, ...]]]
    many: bool
    limit: float
    sees: Callable[[Recipe], str]
    variant: str
    apply: Callable[[SlideState, Network], SlideState]
    samples: Callable[[Run, Split, int], list[Feed]]
    sample_counts: tuple[int, int]
    kept: Callable[[Run, CohortSlide, Callable[[], Network], int], Heatmap] | None = None
    right: Callable[[Run, CohortSlide, SlideState], np.ndarray] | None = None
    report: Callable[[Any, Split, Path], None] | None = None


def _nothing(run: Run, resources: Resources) -> None:
    pass


def _always(run: Run) -> bool:
    return True


def _no_differences(run: Run, other: Run) -> list[str]:
    return []


def _no_summary(run: Run) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class StageKind:
    """A kind of stage.

    Attributes:
        name: name in ``--stage`` and in run.json.
        is_in: whether a recipe asks for it.
        work: runs or resumes it.
        folder: its folder in the run.
        after: names of the stages that come before it if the recipe has them.
        needs: names of the stages that a recipe gets because it has this one.
        is_whole: whether its files still exist.
        check: raises what would fail only after hours of training; may be called again after
            ``prepare``.
        is_trained: whether later stages depend on its network, so that it must not be made again
            under them.
        reusable: whether another run may copy it.
        follows_from: sections of the recipe that it depends on, besides those that all share.
        differences: further differences, in words, that prevent copying it from another run.
        summary: figures of this stage for ``h2g train --json``.
        network: how its network is used on slides; None if it has none.
    """

    name: str
    is_in: Callable[[Recipe], bool]
    work: Callable[[Run, Resources], None]
    folder: str
    after: Callable[[Recipe], tuple[str, ...]]
    needs: Callable[[Recipe], tuple[str, ...]] = lambda recipe: ()
    is_whole: Callable[[Run], bool] = _always
    check: Callable[[Run, Resources], None] = _nothing
    is_trained: bool = False
    reusable: bool = False
    follows_from: Callable[[Recipe], tuple[str, ...]] = lambda recipe: ()
    differences: Callable[[Run, Run], list[str]] = _no_differences
    summary: Callable[[Run], dict[str, Any]] = _no_summary
    network: NetworkKind | None = None

    def is_finished(self, run: Run) -> bool:
        """Whether the stage is done in a run and its files still exist."""
        return run.is_done(self.name) and self.is_whole(run)


def has_files(*names: str) -> Callable[[Run], bool]:
    """``is_whole`` for a stage that makes these files of the run."""
    return lambda run: all((run.path / name).is_file() for name in names)
