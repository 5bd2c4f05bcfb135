"""tf.data batches of low-resolution slides, heatmaps and truths for the refinement network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from h2g.data.augmentation import move_samples, random_zoom, zoom
from h2g.data.dataset import PREFETCHED, numbers_from
from h2g.data.heatmap_noise import changes_heatmaps, disturb_heatmap
from h2g.data.patch_source import BatchSettings
from h2g.data.source import Source
from h2g.data.stain import augment_stains
from h2g.errors import TrainingError
from h2g.models.deployment import resize_bilinear, scale_image
from h2g.recipes.refinement import RefinementAugmentation
from h2g.slides.png_files import read_png
from h2g.slides.tiff_files import read_heatmap


@dataclass(frozen=True, eq=False)
class RefinementExample:
    """Files with the inputs and the truth of one slide.

    Attributes:
        image_file: PNG of the slide at low resolution, of any size.
        truth_file: PNG with the labels of the whole field, in the size of the network's output, or
            of the image if the network sees windows.
        heatmap_file: TIFF of the classifier's heatmap; None if the image is the only input.
        stain_matrix: (2, 3) float32, from ``macenko_stain_matrix``.
    """

    name: str
    image_file: Path
    truth_file: Path
    heatmap_file: Path | None
    stain_matrix: np.ndarray


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def load_example(
    example: RefinementExample,
    change: Callable[[np.ndarray], np.ndarray] | None = None,
    number: int = 0,
) -> Arrays:
    """Reads the image, the heatmap and the truth of an example.

    Args:
        change: applied to the heatmap with all its classes, before background is removed.
        number: unused; other loaders draw a part of the example by it.
    Returns:
        (H, W, 3) uint8 RGB, (rows, cols, C - 1) float32 without background, (P, P) uint8 labels.
        The heatmap of an example without one is a single cell of 0.
    Raises:
        TrainingError, SlideError: a file is missing or damaged.
    """
    image = read_picture(example.image_file)
    heatmap = np.zeros((1, 1, 1), np.float32)
    if example.heatmap_file is not None:
        values = read_heatmap(example.heatmap_file).values
        values = values if change is None else change(values)
        heatmap = np.ascontiguousarray(values[..., 1:], np.float32)
    return image, heatmap, read_picture(example.truth_file)


class ExampleSource(Source):
    """The sequence of examples of a training, with heatmaps changed by ``augmentation``.

    Every epoch holds all examples ``repeats`` times, in a new random order with ``shuffle`` and
    otherwise in the given order.
    """

    def __init__(
        self,
        examples: Sequence[RefinementExample],
        settings: BatchSettings,
        *,
        shuffle: bool,
        augmentation: RefinementAugmentation | None = None,
        load: Callable[..., Arrays] = load_example,
        repeats: int = 1,
    ) -> None:
        """
        Args:
            load: (example, change of its heatmap, number in the sequence) -> its arrays.
        """
        if not examples:
            raise TrainingError(
                "The refinement network has no slide to learn from. Check the cohort's splits."
            )
        super().__init__()
        self.settings = settings
        self.examples = tuple(examples) * repeats
        self.shuffle = shuffle
        self._augmentation = augmentation
        self._load = load

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Example ``number`` of the sequence: image, heatmap, truth and stain matrix."""
        epoch, place = divmod(number, len(self.examples))
        if self.shuffle:
            rng = np.random.default_rng([self.settings.seed, epoch])
            place = rng.permutation(len(self.examples))[place]
        example = self.examples[place]
        change = None
        if self._augmentation is not None and changes_heatmaps(self._augmentation):
            change = partial(
                disturb_heatmap,
                seed=self.settings.seed,
                number=number,
                settings=self._augmentation,
            )
        return (*self._load(example, change, number), example.stain_matrix.astype(np.float32))


def refinement_dataset(
    source: ExampleSource,
    *,
    input_px: int,
    augmentation: RefinementAugmentation | None,
    inputs: str = "both",
) -> tf.data.Dataset:
    """A data set of batches, starting at ``source.settings.first_batch``.

    With shuffling, the data set is endless and all batches are full; a batch may span two epochs.
    Without shuffling, it ends after one pass. Iterate, or call fit, within
    ``source.raising_failure()``.

    Args:
        inputs: ``both``, or ``image`` or ``heatmap`` for a network with that input alone.
    Returns:
        Pairs of inputs and truth. The inputs are (B, P, P, 3) float32 RGB in [0, 1] and
        (B, P, P, C - 1) float32 heatmap, or one of them. The truth is (B, P, P, C) float32 one-hot.
    """
    settings = source.settings
    classes = settings.class_count

    def read(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        types = (tf.uint8, tf.float32, tf.uint8, tf.float32)
        tensors = tf.numpy_function(source.serve, [number], types, stateful=False)
        channels = classes - 1 if inputs != "image" else None
        shapes = ((None, None, 3), (None, None, channels), (input_px, input_px), (2, 3))
        for tensor, shape in zip(tensors, shapes, strict=True):
            tensor.set_shape(shape)
        return stretch(*tensors)

    def stretch(
        image: tf.Tensor, heatmap: tf.Tensor, truth: tf.Tensor, stains: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        # Each is resized to the network's square on its own, as in the deployed graph.
        size_px = (input_px, input_px)
        image = resize_bilinear(scale_image(image), size_px)
        return image, resize_bilinear(heatmap, size_px), truth[..., None], stains

    def finish(number: tf.Tensor, tensors: tuple[tf.Tensor, ...]) -> tuple[Any, tf.Tensor]:
        image, heatmap, truth, stains = tensors
        if augmentation is not None:
            image, heatmap, truth = augment_examples(
                image, heatmap, truth, stains, number, seed=settings.seed, settings=augmentation
            )
        network_inputs = {"image": image, "heatmap": heatmap}.get(inputs, (image, heatmap))
        return network_inputs, tf.one_hot(truth[..., 0], classes)

    first = settings.first_batch * settings.batch_size
    numbers = numbers_from(first, settings.workers)
    if not source.shuffle:
        numbers = numbers.take(max(0, len(source.examples) - first))
    return (
        numbers.map(read, num_parallel_calls=settings.workers, deterministic=True)
        .batch(settings.batch_size, drop_remainder=source.shuffle)
        .enumerate(settings.first_batch)
        .map(finish, num_parallel_calls=1)
        .prefetch(PREFETCHED)
    )


def augment_examples(
    images: tf.Tensor,
    heatmaps: tf.Tensor,
    truths: tf.Tensor,
    stain_matrices: tf.Tensor,
    batch: tf.Tensor,
    *,
    seed: int,
    settings: RefinementAugmentation,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Changes the stains of the images, and flips, rotates and zooms all three together.

    The margin that a zoom out uncovers is white in the image, 0 in the heatmap and background in
    the truth.

    Args:
        images, heatmaps, truths: (B, P, P, 3) float32, (B, P, P, C - 1) float32, (B, P, P, 1)
            uint8.
        stain_matrices: (B, 2, 3).
        batch: number of the batch.
    """
    if settings.stain:
        images = augment_stains(
            images,
            stain_matrices,
            batch,
            seed=seed,
            sigma=settings.stain_sigma,
            probability=settings.stain,
        )
    if settings.zoom:
        factor = random_zoom(batch, tf.shape(images)[0], seed=seed, settings=settings)
        images = zoom(images, factor, fill=1.0)
        heatmaps = zoom(heatmaps, factor, fill=0.0)
        truths = zoom(truths, factor, fill=0.0, nearest=True)
    return move_samples((images, heatmaps, truths), batch, seed=seed, settings=settings)


def read_picture(path: Path) -> np.ndarray:
    """Reads a PNG as (h, w, 3) RGB or (h, w) labels, uint8; TrainingError if it is unreadable."""
    pixels = read_png(path)
    if pixels is None:
        raise TrainingError(f"{path}: cannot be read. Delete it and run the same command again.")
    return pixels
