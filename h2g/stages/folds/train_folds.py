"""The stage that trains further classifiers, each without one fold of the training slides.

A classifier's heatmaps are better on its training slides than on new slides. A refinement network
that learns from such heatmaps trusts them too much. With ``refinement.cross_fit``, the heatmap of
every training slide comes from the classifier that has not seen it. Those of validation and test
slides come from the classifier that has seen all training slides.

patch/folds/<fold>/{model.keras,history.csv,history.png}
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from h2g.data.patch_source import labelled_slides
from h2g.errors import CohortError, RunError
from h2g.files import same_files
from h2g.folders.run import Run
from h2g.stages.folds.fold_models import fold_count, fold_models, fold_of_slides
from h2g.stages.patch.train_patch import classifier_training
from h2g.training.fit import fit_stage
from h2g.training.history import history_summary
from h2g.training.resources import Resources

logger = logging.getLogger(__name__)


def check_folds(run: Run) -> None:
    """Checks that the folds are possible; checks patches only if the slides are indexed.

    Raises:
        CohortError: there are fewer patients than folds, or a fold holds all patches of a class.
    """
    fold_of = fold_of_slides(run)
    try:
        slides = labelled_slides(run, "train")
    except RunError:
        return  # not prepared yet
    for fold in range(1, fold_count(run.recipe) + 1):
        members = [slide for slide in slides if fold_of[slide.name] == fold]
        others = [slide for slide in slides if fold_of[slide.name] != fold]
        labels = {int(label) for slide in others for label in slide.labels}
        missing = [name for n, name in enumerate(run.recipe.class_names) if n not in labels]
        if missing:
            raise CohortError(
                f"{run.cohort.path}: fold {fold} of {fold_count(run.recipe)} "
                f"({', '.join(slide.name for slide in members)}) holds all training patches of "
                f"class '{missing[0]}', but a classifier is trained without that fold. Give "
                "another refinement.cross_fit or seed, add slides of that class, or leave "
                "cross_fit out (null)."
            )


def train_folds(run: Run, resources: Resources) -> None:
    """Trains the missing classifiers; resumes an interrupted one.

    Each is trained like that of the patch stage, with the same validation slides.

    Raises:
        CohortError: see check_folds.
        RunError, TrainingError, ModelError, WrongUseError: see train_patch.
    """
    check_folds(run)
    fold_of, files = fold_of_slides(run), fold_models(run)
    slides, validation = labelled_slides(run, "train"), labelled_slides(run, "val")
    for fold, file in enumerate(files, start=1):
        # The model is written last, so a fold with a model is done.
        if file.is_file():
            logger.info("%s: fold %d of %d is done.", run.path, fold, len(files))
            continue
        stage = classifier_training(
            run,
            train=[slide for slide in slides if fold_of[slide.name] != fold],
            validation=validation,
            folder=file.parent,
            part=f"fold {fold} of {len(files)}",
        )
        with _without_retracing_warnings():
            fit_stage(stage, resources)
        shutil.rmtree(stage.checkpoint.parent)


def differing_folds(run: Run, other: Run) -> list[str]:
    """The differences, in words, between the folds of two runs."""
    if not same_files([run.model_file("patch")], [other.model_file("patch")]):
        return ["the trained classifier (reuse its patch stage first)"]
    if fold_count(run.recipe) != fold_count(other.recipe):
        return ["refinement.cross_fit"]
    if fold_of_slides(run) != fold_of_slides(other):
        return ["the folds (grades or patients of the cohort)"]
    return []


def folds_summary(run: Run) -> dict[str, Any]:
    """The sum of epochs, means of the validation columns, and ``folds`` with one row per fold."""
    folds = [
        {"fold": fold, **summary}
        for fold, model in enumerate(fold_models(run), start=1)
        if (summary := history_summary(model.parent / "history.csv"))
    ]
    if not folds:
        return {}
    names = [name for name in folds[0] if name.startswith("val_")]
    means = {name: fmean(fold[name] for fold in folds) for name in names}
    return {"epochs": sum(fold["epochs"] for fold in folds), **means, "folds": folds}


@contextlib.contextmanager
def _without_retracing_warnings() -> Iterator[None]:
    """Hides a warning: TensorFlow mistakes several networks for one that is compiled repeatedly."""

    def is_other_message(record: logging.LogRecord) -> bool:
        return "tf.function retracing" not in record.getMessage()

    tensorflow = logging.getLogger("tensorflow")
    tensorflow.addFilter(is_other_message)
    try:
        yield
    finally:
        tensorflow.removeFilter(is_other_message)
