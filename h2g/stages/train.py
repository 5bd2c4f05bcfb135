"""Training and evaluation from Python, equal to the commands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from h2g.folders.cohort import Split, read_cohort
from h2g.folders.run import Run, open_run, start_run
from h2g.recipes.reading import load_recipe
from h2g.stages.run_chain import reuse_stage, train_run
from h2g.texts import flow_yaml
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
    data_root: str | Path | None = None,
    callbacks: Sequence[Any] = (),
) -> Run:
    """Trains a recipe on the slides of a cohort, stage by stage; resumes an interrupted training.

    Args:
        cohort: CSV table of slides.
        recipe: a name (``h2g recipes`` lists them) or a YAML file.
        out: the run folder.
        overrides: changes to the recipe, such as ``{"patch.epochs": 5}``.
        stages: names of the stages to run; empty runs all.
        reuse: stage folders of other runs to copy, such as ``other/patch``.
        strategy: ``mirrored`` trains on all GPUs of this machine.
        jobs: number of processes or threads that read slides; None takes one per core.
        data_root: the folder where slides and annotations lie now, if they are not where the
            table says.
        callbacks: Keras callbacks for the training of every network.
    Raises:
        CohortError, RecipeError: the table or the recipe is wrong.
        RunError: ``out`` holds another run.
        TrainingError: training is impossible with these data.

    Example:
        >>> import h2g
        >>> run = h2g.train("cohort.csv", "tiny.yaml", out="new_run", stages=["prepare"])
        >>> run.recipe.name
        'tiny'
    """
    if isinstance(overrides, Mapping):
        overrides = [f"{key}={flow_yaml(value)}" for key, value in overrides.items()]
    table = read_cohort(Path(cohort), data_root=Path(data_root) if data_root else None)
    run = start_run(Path(out), table, load_recipe(recipe, tuple(overrides)))
    # Imported here, because it takes seconds and a wrong table or recipe is reported first.
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
        threads: number of threads that read patches for missing heatmaps; None takes one per core.
    Returns:
        One row per slide, variant and class: slide, grade, variant, class, recall, precision, dice,
        and the counts of pixels and outlines.
    Raises:
        RunError: the split is empty, or a network is not trained.

    Example:
        >>> import h2g
        >>> table = h2g.evaluate("run")
        >>> table.groupby("variant").dice.mean()  # doctest: +SKIP
    """
    from h2g.evaluation.tables import score_table
    from h2g.stages.evaluate_run import evaluate_run

    opened = run if isinstance(run, Run) else open_run(Path(run))
    return score_table(evaluate_run(opened, split, threads=threads or os.cpu_count() or 1))
