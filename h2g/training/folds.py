"""The stage that trains further classifiers, each without one fold of the training slides.

A classifier's heatmaps of the slides it was trained on are better than those of new ones, and a
refinement network that learns from them trusts heatmaps too much. With ``refinement.cross_fit`` the
heatmap of every training slide comes from the classifier that never saw it; validation and test
slides have those of the classifier that saw all training slides.

patch/folds/<fold>/{model.keras,history.csv,history.png}
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from h2g.data.folds import assign_folds, patients_of
from h2g.data.patch_source import labelled_slides
from h2g.errors import CohortError, RunError
from h2g.recipes.recipe import Recipe
from h2g.runs import Run
from h2g.training.fit import Strategy, fit_stage
from h2g.training.patch import classifier_training

FOLDER = "patch/folds"

logger = logging.getLogger(__name__)


def fold_count(recipe: Recipe) -> int:
    """How many folds; 0 where nothing is fitted across them."""
    return (recipe.refinement.cross_fit or 0) if recipe.refinement is not None else 0


def fold_folder(run: Run, fold: int) -> Path:
    return run.path / FOLDER / str(fold)


def fold_models(run: Run) -> list[Path]:
    """The classifiers' files, of fold 1 first."""
    return [fold_folder(run, fold) / "model.keras" for fold in range(1, fold_count(run.recipe) + 1)]


def fold_of_slides(run: Run) -> dict[str, int]:
    """The fold of every training slide by its name, from 1 on; empty without folds.

    Raises:
        CohortError: fewer patients than folds.
    """
    count, slides = fold_count(run.recipe), run.cohort.split("train")
    if not count:
        return {}
    patients = len(patients_of(slides))
    if patients < count:
        raise CohortError(
            f"{run.cohort.path}: refinement.cross_fit {count} needs as many patients in split "
            f"'train', and there are {patients}. Give a smaller one, or leave it out (null)."
        )
    return assign_folds(slides, count, seed=run.recipe.seed)


def check_folds(run: Run) -> None:
    """What makes folds impossible, as far as it is known by now.

    Raises:
        CohortError: fewer patients than folds, or, where slides are indexed, a fold that holds all
            patches of a class.
    """
    fold_of = fold_of_slides(run)
    try:
        slides = labelled_slides(run, "train")
    except RunError:
        return  # not prepared yet
    for fold in range(1, fold_count(run.recipe) + 1):
        own = [slide for slide in slides if fold_of[slide.name] == fold]
        left = {int(n) for slide in slides if fold_of[slide.name] != fold for n in slide.labels}
        lacking = [name for n, name in enumerate(run.recipe.class_names) if n not in left]
        if lacking:
            raise CohortError(
                f"{run.cohort.path}: fold {fold} of {fold_count(run.recipe)} "
                f"({', '.join(slide.name for slide in own)}) holds all training patches of class "
                f"'{lacking[0]}', and a classifier is trained without that fold. Give another "
                "refinement.cross_fit or seed, more slides of that class, or leave cross_fit out "
                "(null)."
            )


def train_folds(run: Run, *, strategy: Strategy = "none") -> None:
    """Trains the classifiers that are not there yet, going on within one that was stopped.

    Each is trained as the patch stage is, on the same validation slides.

    Raises:
        CohortError: as check_folds.
        RunError, TrainingError, ModelError, WrongUseError: as train_patch.
    """
    check_folds(run)
    fold_of, files = fold_of_slides(run), fold_models(run)
    slides, validation = labelled_slides(run, "train"), labelled_slides(run, "val")
    for fold, file in enumerate(files, start=1):
        # Written last: a fold with a model is done.
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
        with _without_notes_on_retracing():
            fit_stage(stage, strategy=strategy)
        shutil.rmtree(stage.checkpoint.parent)


@contextlib.contextmanager
def _without_notes_on_retracing() -> Iterator[None]:
    """TensorFlow takes one network after the other for one that is compiled again and again."""

    def is_other(record: logging.LogRecord) -> bool:
        return "tf.function retracing" not in record.getMessage()

    tensorflow = logging.getLogger("tensorflow")
    tensorflow.addFilter(is_other)
    try:
        yield
    finally:
        tensorflow.removeFilter(is_other)
