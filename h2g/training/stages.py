"""The stages of a run, in order: prepare, cluster, patch, heatmaps, refinement."""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from math import isnan
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from h2g.data.patch_index import prepare_run
from h2g.errors import RunError, WrongUseError
from h2g.recipes.recipe import ClusteringSettings, Recipe
from h2g.runs import Run, open_run
from h2g.training.clusters import FOLDER as CLUSTERS
from h2g.training.clusters import clustering_settings, find_clusters
from h2g.training.fit import Strategy, check_strategy
from h2g.training.heatmaps import make_heatmaps
from h2g.training.patch import train_patch
from h2g.training.refinement import train_refinement

logger = logging.getLogger(__name__)

Stage = Literal["prepare", "cluster", "patch", "heatmaps", "refinement"]
TRAINED = ("patch", "refinement")
WITH_MODEL = ("cluster", *TRAINED)
# Folders that are not named as their stage.
FOLDERS = {"cluster": CLUSTERS}
REUSABLE = {"clusters": "cluster", "patch": "patch", "heatmaps": "heatmaps"}
# What two runs must share for one to take over any stage of the other.
SHARED = ("seed", "preprocessing", "annotation", "labels", "sampler")


def recipe_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages that a recipe has; without a refinement network nothing needs heatmaps. Clusters
    come before the classifier, unless its own features are what is clustered."""
    stages: list[Stage] = ["prepare", "patch"]
    if recipe.clustering is not None:
        stages.insert(2 if recipe.clustering.features == "patch" else 1, "cluster")
    if recipe.refinement is not None:
        stages += ["heatmaps", "refinement"]
    return tuple(stages)


def train_run(
    run: Run, stages: Collection[str] = (), *, strategy: Strategy = "none", jobs: int = 1
) -> None:
    """Does the stages that are not done yet, going on where an earlier call was stopped.

    Args:
        stages: only these; empty is all.
        jobs: processes or threads that read slides at once, where the recipe does not say.
    Raises:
        RunError: a stage that the recipe has not, or one whose earlier stage is not done.
    """
    wanted = _wanted(run, stages)
    for stage in wanted:
        settings = {"patch": run.recipe.patch, "refinement": run.recipe.refinement}.get(stage)
        if settings is not None and not is_finished(run, stage):
            check_strategy(stage, settings, strategy)
    work: dict[Stage, Callable[[], object]] = {
        "prepare": lambda: prepare_run(run, jobs=jobs),
        "cluster": lambda: find_clusters(run, clustering_settings(run)),
        "patch": lambda: train_patch(run, strategy=strategy),
        "heatmaps": lambda: make_heatmaps(run, threads=jobs),
        "refinement": lambda: train_refinement(run, strategy=strategy, jobs=jobs),
    }
    for stage in wanted:
        if is_finished(run, stage):
            logger.info("%s: the %s stage is done.", run.path, stage)
            continue
        with run.stage(stage):
            work[stage]()
        # Only a stage that was stopped needs it, and it is several times the network's size.
        shutil.rmtree(run.stage_folder(stage) / "checkpoints", ignore_errors=True)


def cluster_stage(run: Run, settings: ClusteringSettings) -> None:
    """The cluster stage alone, of any prepared run; nothing when it is done."""
    if is_finished(run, "cluster"):
        logger.info("%s: the cluster stage is done.", run.path)
        return
    with run.stage("cluster"):
        find_clusters(run, settings)


def is_finished(run: Run, stage: str) -> bool:
    return run.is_done(stage) and (
        stage not in WITH_MODEL or run.model_file(FOLDERS.get(stage, stage)).is_file()
    )


def reuse_stage(run: Run, folder: Path) -> None:
    """Copies a finished stage of another run, ``OTHER/clusters``, ``OTHER/patch`` or
    ``OTHER/heatmaps``; nothing when the run has that stage.

    Raises:
        WrongUseError: not such a folder.
        RunError: the stage is not done there, or the runs differ in what made it.
    """
    folder = folder.resolve()
    if folder.name not in REUSABLE:
        *some, last = (f"RUN/{name}" for name in REUSABLE)
        raise WrongUseError(f"--reuse-stage {folder}: give {', '.join(some)} or {last}.")
    stage = REUSABLE[folder.name]
    if is_finished(run, stage):
        return
    other = open_run(folder.parent)
    if not is_finished(other, stage):
        raise RunError(f"{folder}: the {stage} stage is not done there; train it first.")
    keys = _made_by(run.recipe, stage)
    differing = [key for key in keys if getattr(run.recipe, key) != getattr(other.recipe, key)]
    if _learned_slides(run) != _learned_slides(other):
        differing.append("the cohort's train and val slides")
    if stage == "heatmaps" and not _same_classifier(run, other):
        differing.append("the trained classifier (reuse its patch stage too, first)")
    if differing:
        raise RunError(
            f"{folder}: this stage cannot be reused, the runs differ in {', '.join(differing)}."
        )
    target = run.path / folder.name
    if target.exists():
        raise RunError(f"{target}: this run has begun the {stage} stage. Give another --out.")
    with run.stage(stage), tempfile.TemporaryDirectory(dir=run.path) as temporary:
        shutil.copytree(folder, Path(temporary) / folder.name)
        os.replace(Path(temporary) / folder.name, target)


def training_summary(run: Run) -> list[dict[str, Any]]:
    """A row a stage: stage, done, seconds and, where a network is trained, epochs, best_epoch and
    that epoch's validation columns of history.csv."""
    rows = []
    seconds = run.seconds()
    for stage in recipe_stages(run.recipe):
        row: dict[str, Any] = {"stage": stage, "done": is_finished(run, stage)}
        row["seconds"] = seconds.get(stage, 0.0)
        history_file = run.stage_folder(stage) / "history.csv"
        if stage in TRAINED and history_file.exists():
            history: list[Any] = pd.read_csv(history_file).to_dict("records")
            row["epochs"] = len(history)
            best = min(history, key=lambda epoch: (isnan(epoch["val_loss"]), epoch["val_loss"]))
            row["best_epoch"] = best["epoch"]
            row |= {name: value for name, value in best.items() if name.startswith("val_")}
        rows.append(row)
    return rows


def _made_by(recipe: Recipe, stage: str) -> tuple[str, ...]:
    """The sections of a recipe that a reusable stage depends on."""
    if stage == "cluster":
        return *SHARED, "clustering"
    return *SHARED, "patch", *(("clustering",) if recipe.patch.is_cluster_guided else ())


def _wanted(run: Run, stages: Collection[str]) -> list[Stage]:
    known = recipe_stages(run.recipe)
    for stage in stages:
        if stage not in known:
            raise RunError(
                f"The recipe '{run.recipe.name}' has no {stage} stage, only {', '.join(known)}."
            )
    wanted = [stage for stage in known if not stages or stage in stages]
    to_do = [stage for stage in known if not is_finished(run, stage)]
    for stage in wanted:
        for earlier in known[: known.index(stage)]:
            if stage in to_do and earlier in to_do and earlier not in wanted:
                raise RunError(
                    f"{run.path}: the {stage} stage needs the {earlier} stage, which is not done. "
                    f"Add --stage {earlier}."
                )
            # A later stage cannot follow from an earlier one that is still to be made.
            if stage not in to_do and earlier in to_do and earlier in TRAINED:
                raise RunError(
                    f"{run.path}: the {stage} stage was made from a {earlier} stage that is gone. "
                    "Put its files back, or give another --out."
                )
    return wanted


def _same_classifier(run: Run, other: Run) -> bool:
    own, theirs = run.model_file("patch"), other.model_file("patch")
    return own.is_file() and theirs.is_file() and filecmp.cmp(own, theirs, shallow=False)


def _learned_slides(run: Run) -> set[tuple[str, str, str, float | None]]:
    return {
        (str(slide.slide.resolve()), str(slide.annotation.resolve()), slide.split, slide.mpp)
        for split in ("train", "val")
        for slide in run.cohort.slides
        if slide.split == split
    }
