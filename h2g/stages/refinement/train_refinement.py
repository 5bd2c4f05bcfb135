"""Stage 2: the refinement network, trained on low-resolution slides and their heatmaps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from h2g.data.patch_source import BatchSettings
from h2g.data.random_windows import RandomWindows
from h2g.data.refinement_dataset import (
    ExampleSource,
    RefinementExample,
    read_picture,
    refinement_dataset,
)
from h2g.data.stain import macenko_stain_matrix
from h2g.errors import TrainingError
from h2g.files import replacing
from h2g.folders.cohort import CohortSlide, Split
from h2g.folders.run import Run
from h2g.models.registry import build_refinement_model, find_architecture
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage
from h2g.recipes.sections import refinement_settings
from h2g.stages.heatmaps.make_heatmaps import seen_heatmap
from h2g.stages.refinement.pictures import image_file, truth_file, write_inputs
from h2g.stages.refinement.window_training import StitchedScores
from h2g.training.checkpoint import TrainingState
from h2g.training.fit import StageTraining, fit_stage
from h2g.training.losses import refinement_loss, slide_dice
from h2g.training.resources import Resources
from h2g.training.supervision import with_supervision


def train_refinement(run: Run, resources: Resources = Resources()) -> TrainingState:
    """Trains the refinement network of a run with heatmaps; resumes an interrupted training.

    A network without weights is written untrained. Otherwise this writes refinement/{model.keras,
    history.csv,history.png} and refinement/inputs. The model is that of the epoch with the lowest
    validation loss.

    Raises:
        TrainingError, WrongUseError: the recipe or the data make training impossible.
    """
    settings, jobs = refinement_settings(run.recipe), resources.jobs
    if not find_architecture(settings.model).is_trained:
        with replacing(run.model_file("refinement")) as temporary:
            refinement_network(run.recipe).save(temporary)
        return TrainingState()
    examples = {split: _examples(run, split, jobs=jobs) for split in ("train", "val")}
    per_slide = 1 if settings.windows is None else settings.windows_per_slide
    steps_per_pass = math.ceil(per_slide * len(examples["train"]) / settings.batch_size)
    loss = refinement_loss(settings.loss, run.recipe.class_names, settings.class_weights)
    stage = StageTraining(
        name="refinement",
        folder=run.stage_folder("refinement"),
        settings=settings,
        steps_per_epoch=settings.steps_per_epoch or steps_per_pass,
        seed=run.recipe.seed,
        build=partial(refinement_network, run.recipe),
        loss=loss,
        metrics=(keras.metrics.MeanMetricWrapper(slide_dice, name="slide_dice"),),
        train=partial(_training_batches, run, settings, examples["train"], jobs),
        validation=partial(_validation_batches, run, settings, examples["val"], jobs),
    )
    if settings.windows is not None:
        scoring = StitchedScores(
            examples["val"],
            settings.windows,
            loss,
            class_names=run.recipe.class_names,
            batch_size=settings.batch_size,
        )
        stage = replace(stage, validation=contextlib.nullcontext, scoring=scoring)
    return fit_stage(stage, resources)


def refinement_network(recipe: Recipe) -> keras.Model:
    """The untrained network of a recipe with a refinement stage, with all its outputs.

    Raises:
        WrongUseError: see build_refinement_model.
    """
    settings = refinement_settings(recipe)
    network = build_refinement_model(
        settings.model,
        input_px=settings.input_px,
        num_classes=len(recipe.class_names),
        options=settings.options,
        batch_norm_momentum=settings.batch_norm_momentum,
        inputs=settings.inputs,
        all_outputs=True,
    )
    return with_supervision(network)


@contextlib.contextmanager
def _training_batches(
    run: Run,
    settings: RefinementStage,
    examples: Sequence[RefinementExample],
    jobs: int,
    first_batch: int,
) -> Iterator[tf.data.Dataset]:
    batches = _batch_settings(run, settings, workers=jobs, first_batch=first_batch)
    source = ExampleSource(
        examples,
        batches,
        shuffle=True,
        augmentation=settings.augmentation,
        **_drawn_windows(run, settings),
    )
    with source.raising_failure():
        yield refinement_dataset(
            source,
            input_px=settings.input_px,
            augmentation=settings.augmentation,
            inputs=settings.inputs,
        )


@contextlib.contextmanager
def _validation_batches(
    run: Run, settings: RefinementStage, examples: Sequence[RefinementExample], jobs: int
) -> Iterator[tf.data.Dataset]:
    batches = _batch_settings(run, settings, workers=jobs, first_batch=0)
    source = ExampleSource(examples, batches, shuffle=False)
    with source.raising_failure():
        yield refinement_dataset(
            source, input_px=settings.input_px, augmentation=None, inputs=settings.inputs
        )


def _drawn_windows(run: Run, settings: RefinementStage) -> dict[str, Any]:
    """Arguments of ExampleSource for a network that sees windows; none for one that does not."""
    if settings.windows is None:
        return {}
    windows = RandomWindows(
        side_px=settings.input_px, tumour_share=settings.tumour_share, seed=run.recipe.seed
    )
    return {"load": windows.load, "repeats": settings.windows_per_slide}


def _examples(run: Run, split: Split, *, jobs: int) -> list[RefinementExample]:
    """Readable slides of a split; those without a heatmap are left out if the network needs one."""
    rows = list(run.cohort.split(split))
    if run.recipe.patch is not None:
        rows = [row for row in rows if seen_heatmap(run, row).exists()]
    rows = write_inputs(run, rows, jobs=jobs)
    if not rows:
        heatmap = "" if run.recipe.patch is None else "a heatmap, "
        raise TrainingError(
            f"No {split} slide has {heatmap}an image and an annotation to learn from. See the "
            "warnings above."
        )
    return [_example(run, row) for row in rows]


def _example(run: Run, row: CohortSlide) -> RefinementExample:
    file = image_file(run, row.name)
    image = read_picture(file)
    return RefinementExample(
        name=row.name,
        image_file=file,
        truth_file=truth_file(run, row.name),
        heatmap_file=seen_heatmap(run, row) if run.recipe.patch is not None else None,
        stain_matrix=macenko_stain_matrix(image),
    )


def _batch_settings(
    run: Run, settings: RefinementStage, *, workers: int, first_batch: int
) -> BatchSettings:
    return BatchSettings(
        batch_size=settings.batch_size,
        class_count=len(run.recipe.class_names),
        seed=run.recipe.seed,
        first_batch=first_batch,
        workers=workers,
    )
