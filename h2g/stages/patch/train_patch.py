"""Stage 1: the patch classifier, trained on patches that the sampling tree draws."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from h2g.data.dataset import Weigh, patch_dataset
from h2g.data.masks import Masks
from h2g.data.patch_source import BatchSettings, PatchSource, labelled_slides
from h2g.data.sampler import SlidePatches
from h2g.errors import RunError
from h2g.folders.run import Run
from h2g.models.blocks import main_output
from h2g.models.cells import with_cells
from h2g.models.registry import build_patch_model, build_tile_model
from h2g.recipes.patch import PatchStage
from h2g.recipes.recipe import Recipe
from h2g.recipes.sections import patch_settings
from h2g.stages.patch.cluster_weights import open_weigher
from h2g.texts import shell_command
from h2g.training.checkpoint import TrainingState
from h2g.training.class_weights import split_weigher
from h2g.training.fit import StageTraining, fit_stage
from h2g.training.losses import mask_loss
from h2g.training.resources import Resources
from h2g.training.supervision import with_supervision


def train_patch(run: Run, resources: Resources = Resources()) -> TrainingState:
    """Trains the patch classifier of a prepared run; resumes an interrupted training.

    Writes patch/{model.keras,history.csv,history.png}. The model is that of the epoch with the
    lowest validation loss.

    Raises:
        RunError: the run is not prepared, or its loss needs clusters and it has none.
        TrainingError, ModelError, WrongUseError: the recipe or the data make training impossible.
    """
    stage = classifier_training(
        run,
        train=labelled_slides(run, "train"),
        validation=labelled_slides(run, "val"),
        folder=run.stage_folder("patch"),
    )
    return fit_stage(stage, resources)


def classifier_training(
    run: Run,
    *,
    train: Sequence[SlidePatches],
    validation: Sequence[SlidePatches],
    folder: Path,
    part: str = "",
) -> StageTraining:
    """The training of a classifier on the given slides with the recipe's settings.

    Args:
        folder: folder of the trained classifier.
        part: see StageTraining.
    Raises:
        RunError: the loss needs clusters and the run has none.
    """
    recipe, settings = run.recipe, patch_settings(run.recipe)
    by_cluster = _cluster_weigher(run)

    def weigher(slides: Sequence[SlidePatches]) -> Weigh | None:
        return split_weigher(
            settings.class_weights,
            slides,
            recipe.sampler.order,
            recipe.class_names,
            by_cluster,
            sampling_rates=recipe.sampler.rates_of(recipe.class_names),
        )

    return StageTraining(
        name="patch",
        part=part,
        folder=folder,
        settings=settings,
        steps_per_epoch=settings.steps_per_epoch,
        seed=recipe.seed,
        build=partial(patch_network, recipe),
        loss=_loss(settings),
        metrics=(keras.metrics.CategoricalAccuracy(name="accuracy"),),
        keep=partial(_prediction_network, recipe),
        # Weights follow each split's own sampling tree, so that both are balanced alike.
        train=partial(training_batches, run, train, weigh=weigher(train)),
        validation=partial(validation_batches, run, validation, weigh=weigher(validation)),
    )


def patch_network(recipe: Recipe) -> keras.Model:
    """The untrained network of a recipe with a patch stage.

    Raises:
        WrongUseError, ModelError: see build_patch_model and build_tile_model.
    """
    settings = patch_settings(recipe)
    arguments: dict[str, Any] = {
        "size_px": recipe.preprocessing.patch.size_px,
        "num_classes": len(recipe.class_names),
        "weights": settings.weights,
        "options": settings.options,
    }
    if settings.answer == "class":
        return build_patch_model(settings.model, **arguments)
    network = build_tile_model(settings.model, all_outputs=True, **arguments)
    further = len(network.outputs) - 1
    return with_supervision(network, (1.0, *[settings.auxiliary_weight] * further))


def _loss(settings: PatchStage) -> keras.losses.Loss:
    if settings.answer == "class":
        # A loss by cluster is the cross-entropy, weighted patch by patch.
        return keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
    return mask_loss(
        settings.loss,
        over_batch=settings.loss_over == "batch",
        label_smoothing=settings.label_smoothing,
    )


def _prediction_network(recipe: Recipe, network: keras.Model) -> keras.Model:
    """The network as prediction runs it."""
    settings, margin_px = patch_settings(recipe), recipe.preprocessing.patch.margin_px
    network = main_output(network)
    if settings.answer == "class":
        return network
    return with_cells(network, cells=settings.cells, margin_px=margin_px)


@contextlib.contextmanager
def training_batches(
    run: Run, slides: Sequence[SlidePatches], first_batch: int, *, weigh: Weigh | None = None
) -> Iterator[tf.data.Dataset]:
    """An endless dataset of augmented batches; see patch_dataset."""
    source = patch_source(run, slides, first_batch=first_batch)
    with contextlib.closing(source), source.raising_failure():
        yield patch_dataset(source, patch_settings(run.recipe).augmentation, weigh=weigh)


@contextlib.contextmanager
def validation_batches(
    run: Run, slides: Sequence[SlidePatches], *, weigh: Weigh | None = None
) -> Iterator[tf.data.Dataset]:
    """A dataset of batches without augmentation, the same in every iteration."""
    source = patch_source(run, slides)
    with contextlib.closing(source), source.raising_failure():
        yield patch_dataset(source, weigh=weigh).take(patch_settings(run.recipe).validation_steps)


def _cluster_weigher(run: Run) -> Weigh | None:
    loss = patch_settings(run.recipe).cluster_loss
    if loss is None:
        return None
    file = run.model_file("clusters")
    if not file.is_file():
        raise RunError(
            f"{run.path}: patch.loss {loss} needs clusters. Find them: "
            f"{shell_command('h2g', 'cluster', run.path)}"
        )
    return open_weigher(file, form=loss)


def patch_source(run: Run, slides: Sequence[SlidePatches], *, first_batch: int = 0) -> PatchSource:
    """The classifier's patches, drawn by the recipe's sampling tree; the caller closes it."""
    settings = BatchSettings(
        batch_size=patch_settings(run.recipe).batch_size,
        class_count=len(run.recipe.class_names),
        seed=run.recipe.seed,
        first_batch=first_batch,
        workers=patch_settings(run.recipe).workers,
    )
    masks = None
    if patch_settings(run.recipe).answer == "mask":
        masks = Masks({row.name: row for row in run.cohort.slides}, run.recipe)
    sampler = run.recipe.sampler
    rates = sampler.rates_of(run.recipe.class_names)
    return PatchSource(slides, settings, sampler.order, masks, rates=rates)
