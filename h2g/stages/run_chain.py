"""Runs the stages of a run in order, resumes them, and copies stages of other runs."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from h2g.errors import RunError, WrongUseError
from h2g.folders.run import Run, open_run
from h2g.recipes.recipe import Recipe
from h2g.stages.chain import STAGES, chain, find_stage
from h2g.stages.stage import StageKind
from h2g.training.resources import Resources

logger = logging.getLogger(__name__)

# Sections of the recipe that two runs must share if one reuses any stage of the other.
SHARED = ("seed", "preprocessing", "annotation", "labels", "sampler")


def train_run(run: Run, stages: Collection[str] = (), resources: Resources = Resources()) -> None:
    """Runs the unfinished stages, and resumes a stage that was interrupted.

    Args:
        stages: names of the stages to run; empty runs all.
    Raises:
        WrongUseError: the recipe does not have one of the stages.
        RunError: an earlier stage is not done.
    """
    wanted = _wanted(run, stages)
    _check(run, wanted, resources)
    for kind in wanted:
        if kind.is_finished(run):
            logger.info("%s: the %s stage is done.", run.path, kind.name)
            continue
        with run.stage(kind.name):
            kind.work(run, resources)
        if kind.name == "prepare":
            _check(run, wanted, resources)  # again, because the patches are known now
        # Only an interrupted stage needs checkpoints, which are several times the network's size.
        shutil.rmtree(run.path / kind.folder / "checkpoints", ignore_errors=True)


def reuse_stage(run: Run, folder: Path) -> None:
    """Copies a finished stage of another run, e.g. ``OTHER/patch``, unless the run has it.

    Raises:
        WrongUseError: the folder is no reusable stage.
        RunError: the stage is not done there, or the runs differ in settings that affect it.
    """
    folder = folder.resolve()
    kind, path = _stage_and_run(folder)
    if kind.is_finished(run):
        return
    other = open_run(path)
    if not kind.is_finished(other):
        raise RunError(f"{folder}: the {kind.name} stage is not done there. Train it first.")
    keys = made_by(run.recipe, kind)
    differing = [key for key in keys if getattr(run.recipe, key) != getattr(other.recipe, key)]
    if _learned_slides(run) != _learned_slides(other):
        differing.append("the cohort's train and val slides")
    differing += kind.differences(run, other)
    if differing:
        raise RunError(
            f"{folder}: this stage cannot be reused, because the runs differ in "
            f"{', '.join(differing)}. Train the stage instead."
        )
    target = run.path / kind.folder
    if target.exists():
        raise RunError(
            f"{target}: this run has already started the {kind.name} stage. Give another --out."
        )
    with run.stage(kind.name), tempfile.TemporaryDirectory(dir=run.path) as temporary:
        copy = Path(temporary) / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*_inner_folders(kind)))
        os.replace(copy, target)


def training_summary(run: Run) -> list[dict[str, Any]]:
    """One row per stage: stage, done, seconds, and figures of the stage.

    Those of a training are epochs, best_epoch and the validation columns of that epoch.
    """
    seconds = run.seconds()
    return [
        {
            "stage": kind.name,
            "done": kind.is_finished(run),
            "seconds": seconds.get(kind.name, 0.0),
            **kind.summary(run),
        }
        for kind in chain(run.recipe)
    ]


def made_by(recipe: Recipe, kind: StageKind) -> tuple[str, ...]:
    """The sections of a recipe that a reusable stage depends on."""
    return *SHARED, *kind.follows_from(recipe)


def _check(run: Run, kinds: list[StageKind], resources: Resources) -> None:
    for kind in kinds:
        if not kind.is_finished(run):
            kind.check(run, resources)


def _wanted(run: Run, names: Collection[str]) -> list[StageKind]:
    known = chain(run.recipe)
    for name in names:
        find_stage(run.recipe, name)
    wanted = [kind for kind in known if not names or kind.name in names]
    unfinished = [kind for kind in known if not kind.is_finished(run)]
    for kind in wanted:
        for earlier in known[: known.index(kind)]:
            if kind in unfinished and earlier in unfinished and earlier not in wanted:
                raise RunError(
                    f"{run.path}: the {kind.name} stage needs the {earlier.name} stage, which is "
                    f"not done. Add --stage {earlier.name}."
                )
            # A finished stage cannot depend on an earlier one that is yet to be trained.
            if kind not in unfinished and earlier in unfinished and earlier.is_trained:
                raise RunError(
                    f"{run.path}: the files of the {earlier.name} stage, from which the "
                    f"{kind.name} stage was made, are missing. Restore them, or give another --out."
                )
    return wanted


def _stage_and_run(folder: Path) -> tuple[StageKind, Path]:
    """The stage in a folder, and the folder of its run."""
    reusable = [kind for kind in STAGES.values() if kind.reusable]
    for kind in reusable:
        parts = Path(kind.folder).parts
        if folder.parts[-len(parts) :] == parts:
            return kind, folder.parents[len(parts) - 1]
    *others, last = (f"RUN/{kind.folder}" for kind in reusable)
    raise WrongUseError(f"--reuse-stage {folder}: give {', '.join(others)} or {last}.")


def _inner_folders(kind: StageKind) -> list[str]:
    """Names of the folders inside a stage's folder that belong to other stages."""
    return [
        Path(other.folder).name
        for other in STAGES.values()
        if Path(other.folder).parent == Path(kind.folder)
    ]


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
