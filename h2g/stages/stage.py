"""What a kind of stage is: how it is done in a run, and how its network is used on slides.

A new kind: a folder here whose ``..._stage.py`` has one StageKind, its row in h2g.stages.chain, its
section in h2g.recipes.recipe and, where it brings a network, its row in h2g.models.registry.
Nothing else asks for a stage by its name.

Modules with these rows load no deep-learning library: a bundle is predicted without one.
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


@dataclass(frozen=True)
class NetworkKind:
    """The network of a stage: how it is checked, deployed and used.

    Attributes:
        architecture: its name in the recipe.
        shapes: of the bare network's inputs and its output, without the batch axis; None is any.
        many: it takes many small inputs from a slide, not its picture once.
        limit: largest absolute difference of a probability that a float32 export may have.
        sees: what it takes and gives, in words for the model card.
        variant: what evaluation calls the labels that are known after it.
        apply: what it adds to a slide.
        samples: (run, split, count) -> inputs as prediction hands them in, each of batch size 1,
            for comparing and calibrating exports; fewer where the split has fewer.
        sample_counts: how many for comparing, and how many for calibrating int8.
        kept: (run, slide, open network, threads) -> the heatmap that a run keeps of a slide, made
            where it is missing; None where nothing is kept.
        right: (run, slide, state) -> whether each input with a known answer was answered rightly,
            (n,) bool; what int8 costs is told by it, too.
        report: what evaluation writes besides, for this network alone.
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
        name: as ``--stage`` and run.json have it.
        is_in: whether a recipe asks for it.
        work: does it, or goes on with it.
        folder: in the run.
        after: names of the stages that come before it, where the recipe has them.
        needs: names of the stages that a recipe has because it has this one.
        is_whole: whether what it made is still there.
        check: what can fail before hours of training; may be called again when ``prepare`` is done.
        is_trained: later stages follow from its network, so it must not be made again below them.
        reusable: another run may take it over.
        follows_from: sections of the recipe that it depends on, besides those that all share.
        differences: what else keeps this run from taking it over from another, in words.
        summary: its own figures of a run, for ``h2g train --json``.
        network: how its network is used on slides; None where it has none.
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


def has_files(*names: str) -> Callable[[Run], bool]:
    """``is_whole`` of a stage that makes these files of the run."""
    return lambda run: all((run.path / name).is_file() for name in names)
