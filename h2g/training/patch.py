"""Stage 1: the patch classifier, trained on patches that the sampling tree draws."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import keras
import tensorflow as tf

from h2g.cohort import Split
from h2g.data.dataset import patch_dataset
from h2g.data.patch_index import read_patch_index
from h2g.data.patch_source import BatchSettings, PatchSource
from h2g.data.sampler import SlidePatches
from h2g.errors import RunError
from h2g.models.registry import build_patch_model
from h2g.runs import Run
from h2g.training.checkpoint import TrainingState
from h2g.training.fit import StageTraining, Strategy, fit_stage


def train_patch(run: Run, *, strategy: Strategy = "none") -> TrainingState:
    """Trains the patch classifier of a prepared run, or goes on with it.

    Writes patch/{model.keras,history.csv,history.png}; the model is that of the epoch with the
    lowest validation loss.

    Raises:
        RunError: the run is not prepared.
        TrainingError, ModelError, WrongUseError: what the recipe or the data make impossible.
    """
    slides = {split: labelled_slides(run, split) for split in ("train", "val")}
    recipe, settings = run.recipe, run.recipe.patch
    stage = StageTraining(
        name="patch",
        folder=run.stage_folder("patch"),
        settings=settings,
        steps_per_epoch=settings.steps_per_epoch,
        seed=recipe.seed,
        build=lambda: build_patch_model(
            settings.model,
            size_px=recipe.preprocessing.patch.size_px,
            num_classes=len(recipe.class_names),
            weights=settings.weights,
            options=settings.options,
        ),
        loss=keras.losses.CategoricalCrossentropy(),
        metrics=(keras.metrics.CategoricalAccuracy(name="accuracy"),),
        train=partial(training_batches, run, slides["train"]),
        validation=partial(validation_batches, run, slides["val"]),
    )
    return fit_stage(stage, strategy=strategy)


@contextlib.contextmanager
def training_batches(
    run: Run, slides: Sequence[SlidePatches], first_batch: int
) -> Iterator[tf.data.Dataset]:
    """Augmented batches without end; see patch_dataset."""
    source = _source(run, slides, first_batch=first_batch)
    with contextlib.closing(source), source.raising_failure():
        yield patch_dataset(source, run.recipe.patch.augmentation)


@contextlib.contextmanager
def validation_batches(run: Run, slides: Sequence[SlidePatches]) -> Iterator[tf.data.Dataset]:
    """The same batches, not augmented, whenever iterated."""
    source = _source(run, slides, first_batch=0)
    with contextlib.closing(source), source.raising_failure():
        yield patch_dataset(source).take(run.recipe.patch.validation_steps)


def labelled_slides(run: Run, split: Split) -> list[SlidePatches]:
    """The labelled patches of a split's indexed slides.

    Raises:
        RunError: no slide of the split is indexed.
    """
    slides = []
    for row in run.cohort.split(split):
        # A slide that could not be indexed was reported then.
        if not run.index_file(row.name).exists():
            continue
        index = read_patch_index(run.index_file(row.name))
        slides.append(
            SlidePatches(
                name=row.name,
                path=row.slide,
                mpp=row.mpp,
                grade=row.grade,
                plan=index.plan,
                xy_level0=index.table[["x_level0", "y_level0"]].to_numpy(),
                labels=index.table["label"].to_numpy(),
            )
        )
    if not slides:
        raise RunError(f"{run.path}: no {split} slide is indexed. Run 'h2g prepare' first.")
    return slides


def _source(run: Run, slides: Sequence[SlidePatches], *, first_batch: int) -> PatchSource:
    settings = BatchSettings(
        batch_size=run.recipe.patch.batch_size,
        class_count=len(run.recipe.class_names),
        seed=run.recipe.seed,
        first_batch=first_batch,
        workers=run.recipe.patch.workers,
    )
    return PatchSource(slides, settings, run.recipe.sampler.order)
