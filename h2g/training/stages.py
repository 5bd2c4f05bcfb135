"""The stages of a run, in order: prepare, cluster, patch, folds, heatmaps, refinement."""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from math import isnan
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import pandas as pd

from h2g.data.patch_index import prepare_run
from h2g.errors import RunError, WrongUseError
from h2g.recipes.clustering import ClusteringSettings
from h2g.recipes.recipe import Recipe
from h2g.runs import Run, open_run
from h2g.training.clusters import FOLDER as CLUSTERS
from h2g.training.clusters import clustering_settings, find_clusters
from h2g.training.fit import Strategy, check_strategy
from h2g.training.folds import FOLDER as FOLDS
from h2g.training.folds import (
    check_folds,
    fold_count,
    fold_models,
    fold_of_slides,
    train_folds,
)
from h2g.training.heatmaps import make_heatmaps
from h2g.training.patch import train_patch
from h2g.training.refinement import train_refinement

logger = logging.getLogger(__name__)

Stage = Literal["prepare", "cluster", "patch", "folds", "heatmaps", "refinement"]
TRAINED = ("patch", "folds", "refinement")
WITH_MODEL = ("cluster", "patch", "refinement")
# Folders that are not named as their stage.
FOLDERS = {"cluster": CLUSTERS, "folds": FOLDS}
REUSABLE: tuple[Stage, ...] = ("cluster", "patch", "folds", "heatmaps")
# What two runs must share for one to take over any stage of the other.
SHARED = ("seed", "preprocessing", "annotation", "labels", "sampler")


def recipe_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages that a recipe has; without a refinement network nothing needs heatmaps, and
    without a classifier nothing makes them. Clusters come before the classifier, unless its own
    features are what is clustered; folds only where heatmaps are fitted across them."""
    if recipe.patch is None:
        return "prepare", "refinement"
    stages: list[Stage] = ["prepare", "patch"]
    if recipe.clustering is not None:
        stages.insert(2 if recipe.clustering.features == "patch" else 1, "cluster")
    if fold_count(recipe):
        stages.append("folds")
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
    needs_folds = "folds" in wanted and not is_finished(run, "folds")
    if needs_folds:
        check_folds(run)
    work: dict[Stage, Callable[[], object]] = {
        "prepare": lambda: prepare_run(run, jobs=jobs),
        "cluster": lambda: find_clusters(run, clustering_settings(run)),
        "patch": lambda: train_patch(run, strategy=strategy),
        "folds": lambda: train_folds(run, strategy=strategy),
        "heatmaps": lambda: make_heatmaps(run, threads=jobs),
        "refinement": lambda: train_refinement(run, strategy=strategy, jobs=jobs),
    }
    for stage in wanted:
        if is_finished(run, stage):
            logger.info("%s: the %s stage is done.", run.path, stage)
            continue
        with run.stage(stage):
            work[stage]()
        if stage == "prepare" and needs_folds:
            check_folds(run)  # again, now that the classes are known: before hours of training
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
    """Whether a stage was done and what it made is still there."""
    if stage == "heatmaps" and not any(run.stage_folder(stage).rglob("*.tiff")):
        return False
    models = fold_models(run) if stage == "folds" else []
    if stage in WITH_MODEL:
        models = [run.model_file(FOLDERS.get(stage, stage))]
    return run.is_done(stage) and all(model.is_file() for model in models)


def reuse_stage(run: Run, folder: Path) -> None:
    """Copies a finished stage of another run, ``OTHER/clusters``, ``OTHER/patch``,
    ``OTHER/patch/folds`` or ``OTHER/heatmaps``; nothing when the run has that stage.

    Raises:
        WrongUseError: not such a folder.
        RunError: the stage is not done there, or the runs differ in what made it.
    """
    folder = folder.resolve()
    stage, path = _stage_and_run(folder)
    if is_finished(run, stage):
        return
    other = open_run(path)
    if not is_finished(other, stage):
        raise RunError(f"{folder}: the {stage} stage is not done there; train it first.")
    keys = made_by(run.recipe, stage)
    differing = [key for key in keys if getattr(run.recipe, key) != getattr(other.recipe, key)]
    if _learned_slides(run) != _learned_slides(other):
        differing.append("the cohort's train and val slides")
    if stage in {"folds", "heatmaps"}:
        if not _same_files([run.model_file("patch")], [other.model_file("patch")]):
            differing.append("the trained classifier (reuse its patch stage too, first)")
        differing += _differing_folds(run, other, stage)
    if differing:
        raise RunError(
            f"{folder}: this stage cannot be reused, the runs differ in {', '.join(differing)}."
        )
    target = run.path / FOLDERS.get(stage, stage)
    if target.exists():
        raise RunError(f"{target}: this run has begun the {stage} stage. Give another --out.")
    with run.stage(stage), tempfile.TemporaryDirectory(dir=run.path) as temporary:
        # The folds, in the classifier's folder, are a stage of their own.
        besides = shutil.ignore_patterns("folds") if stage == "patch" else None
        shutil.copytree(folder, Path(temporary) / folder.name, ignore=besides)
        os.replace(Path(temporary) / folder.name, target)


def training_summary(run: Run) -> list[dict[str, Any]]:
    """A row a stage: stage, done, seconds and, where a network is trained, epochs, best_epoch and
    that epoch's validation columns of history.csv. Of the folds' networks there are all epochs
    together, the means of those columns, and ``folds``, a row a network."""
    rows = []
    seconds = run.seconds()
    for stage in recipe_stages(run.recipe):
        row: dict[str, Any] = {"stage": stage, "done": is_finished(run, stage)}
        row["seconds"] = seconds.get(stage, 0.0)
        if stage == "folds":
            row |= _folds_summary(run)
        elif stage in TRAINED:
            row |= _history_summary(run.stage_folder(stage) / "history.csv")
        rows.append(row)
    return rows


def _history_summary(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    history: list[Any] = pd.read_csv(file).to_dict("records")
    best = min(history, key=lambda epoch: (isnan(epoch["val_loss"]), epoch["val_loss"]))
    values = {name: value for name, value in best.items() if name.startswith("val_")}
    return {"epochs": len(history), "best_epoch": best["epoch"], **values}


def _folds_summary(run: Run) -> dict[str, Any]:
    folds = [
        {"fold": fold, **summary}
        for fold, model in enumerate(fold_models(run), start=1)
        if (summary := _history_summary(model.parent / "history.csv"))
    ]
    if not folds:
        return {}
    names = [name for name in folds[0] if name.startswith("val_")]
    means = {name: fmean(fold[name] for fold in folds) for name in names}
    return {"epochs": sum(fold["epochs"] for fold in folds), **means, "folds": folds}


def made_by(recipe: Recipe, stage: str) -> tuple[str, ...]:
    """The sections of a recipe that a reusable stage depends on."""
    if stage == "cluster":
        return *SHARED, "clustering"
    guided = recipe.patch is not None and recipe.patch.is_cluster_guided
    return *SHARED, "patch", *(("clustering",) if guided else ())


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


def _stage_and_run(folder: Path) -> tuple[Stage, Path]:
    """Which stage of which run a folder holds."""
    for stage in REUSABLE:
        parts = Path(FOLDERS.get(stage, stage)).parts
        if folder.parts[-len(parts) :] == parts:
            return stage, folder.parents[len(parts) - 1]
    *some, last = (f"RUN/{FOLDERS.get(stage, stage)}" for stage in REUSABLE)
    raise WrongUseError(f"--reuse-stage {folder}: give {', '.join(some)} or {last}.")


def _differing_folds(run: Run, other: Run, stage: Stage) -> list[str]:
    """In what the folds differ that a stage of another run was made with."""
    if fold_count(run.recipe) != fold_count(other.recipe):
        return ["refinement.cross_fit"]
    if fold_of_slides(run) != fold_of_slides(other):
        return ["the folds (grades or patients of the cohort)"]
    if stage == "heatmaps" and not _same_files(fold_models(run), fold_models(other)):
        return ["the folds' classifiers (reuse its patch/folds too, first)"]
    return []


def _same_files(own: Sequence[Path], theirs: Sequence[Path]) -> bool:
    return len(own) == len(theirs) and all(
        one.is_file() and another.is_file() and filecmp.cmp(one, another, shallow=False)
        for one, another in zip(own, theirs, strict=True)
    )


def _learned_slides(run: Run) -> set[tuple[str | float | None, ...]]:
    return {
        (
            str(slide.slide.resolve()),
            str(slide.annotation.resolve()),
            slide.split,
            slide.mpp,
            slide.grade,
        )
        for split in ("train", "val")
        for slide in run.cohort.slides
        if slide.split == split
    }
