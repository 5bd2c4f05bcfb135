"""Training and evaluation in Python, as the commands do them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from h2g.folders.cohort import Split, read_cohort
from h2g.folders.run import Run, open_run, start_run
from h2g.recipes.reading import load_recipe
from h2g.stages.run_chain import reuse_stage, train_run
from h2g.training.resources import Resources, Strategy


def train(
    cohort: str | Path,
    recipe: str | Path,
    *,
    out: str | Path,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    stages: Sequence[str] = (),
    reuse: Sequence[str | Path] = (),
    strategy: Strategy = "none",
    jobs: int | None = None,
    callbacks: Sequence[Any] = (),
) -> Run:
    """Trains a recipe on the slides of a cohort, stage by stage; goes on with a stopped training.

    Args:
        cohort: CSV table of slides.
        recipe: a name (``h2g recipes`` lists them) or a YAML file.
        out: the run folder.
        overrides: changes of the recipe, such as ``{"patch.epochs": 5}``.
        stages: only these; empty is all.
        reuse: stage folders of other runs that are copied, such as ``other/patch``.
        strategy: ``mirrored`` trains on all GPUs of this machine.
        jobs: processes or threads that read slides; None is one for each core.
        callbacks: Keras callbacks, for every network that is trained.
    Raises:
        CohortError, RecipeError: a wrong table or recipe.
        RunError: ``out`` holds another run.
        TrainingError: what the data make impossible.

    Example:
        >>> import h2g
        >>> run = h2g.train("cohort.csv", "tiny.yaml", out="new_run", stages=["prepare"])
        >>> run.recipe.name
        'tiny'
    """
    if isinstance(overrides, Mapping):
        overrides = [f"{key}={_as_yaml(value)}" for key, value in overrides.items()]
    run = start_run(Path(out), read_cohort(Path(cohort)), load_recipe(recipe, tuple(overrides)))
    # After a wrong table or recipe was reported: it takes seconds.
    from h2g.models.startup import start_keras

    start_keras()
    for folder in reuse:
        reuse_stage(run, Path(folder))
    train_run(run, stages, Resources(strategy, jobs or os.cpu_count() or 1, callbacks))
    return run


def evaluate(
    run: str | Path | Run, *, split: Split = "test", threads: int | None = None
) -> pd.DataFrame:
    """Recall, precision and Dice of a run on the slides of a split.

    Args:
        run: a run, or its folder.
        threads: that read patches, where a heatmap is missing; None is one for each core.
    Returns:
        One row per slide, variant and class: slide, grade, variant, class, recall, precision,
        dice, and the pixels and outlines that were counted.
    Raises:
        RunError: an empty split, or networks that are not trained.

    Example:
        >>> import h2g
        >>> table = h2g.evaluate("run")
        >>> table.groupby("variant").dice.mean()  # doctest: +SKIP
    """
    from h2g.evaluation.tables import score_table
    from h2g.stages.evaluate_run import evaluate_run

    opened = run if isinstance(run, Run) else open_run(Path(run))
    return score_table(evaluate_run(opened, split, threads=threads or os.cpu_count() or 1))


def _as_yaml(value: Any) -> str:
    """A value as ``--set KEY=VALUE`` takes it: JSON is YAML."""
    return json.dumps(value)
