"""tf.data around the sampler: batches of patches for the patch classifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from h2g.data.augmentation import augment_patches, move_masks
from h2g.data.patch_source import PatchSource
from h2g.models.deployment import scale_image
from h2g.recipes.patch import PatchAugmentation

# (B, S, S, 3) uint8 pixels, not augmented, and (B,) int32 labels -> (B,) float32 weights.
Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Batches that wait, ready, for the network; each worker holds one more.
PREFETCHED = 2


def patch_dataset(
    source: PatchSource,
    augmentation: PatchAugmentation | None = None,
    *,
    weigh: Weigh | None = None,
) -> tf.data.Dataset:
    """Batches without end, from ``source.settings.first_batch`` on.

    Reading a failed source ends in an exception of TensorFlow's: iterate, or call fit, within
    ``source.raising_failure()``.

    Returns:
        Pairs of (B, S, S, 3) float32 RGB in [0, 1] and (B, C) float32 one-hot labels, or
        (B, S, S, C) of a source with masks, which move with their patches; with
        ``weigh`` the samples' (B,) float32 weights come third.
    """
    settings = source.settings

    def finish(
        pixels: tf.Tensor, labels: tf.Tensor, number: tf.Tensor, *weights: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        if augmentation is None:
            images = scale_image(pixels)
        else:
            images = augment_patches(pixels, number, seed=settings.seed, settings=augmentation)
            if labels.shape.rank == 3:
                labels = move_masks(labels, number, seed=settings.seed, settings=augmentation)
        return images, tf.one_hot(labels, settings.class_count), *weights

    batches = raw_patch_dataset(source)
    if weigh is not None:
        batches = batches.map(partial(_weighed, source, weigh))
    # A stage of its own: the batches that wait for it are uint8, a quarter of the memory.
    finished = batches.map(finish, num_parallel_calls=PREFETCHED, deterministic=True)
    return finished.prefetch(PREFETCHED)


def raw_patch_dataset(source: PatchSource) -> tf.data.Dataset:
    """Batches as they are read: (B, S, S, 3) uint8, int32 labels, the batch's number."""
    settings = source.settings

    def read(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # One call a batch: entering Python once a patch costs a fifth of the reading.
        types = (tf.uint8, tf.int32)
        pixels, labels = tf.numpy_function(source.serve, [number], types, stateful=False)
        pixels.set_shape((settings.batch_size, source.size_px, source.size_px, 3))
        labels.set_shape(source.truth_shape)
        return pixels, labels, number

    return numbers_from(settings.first_batch, settings.workers).map(
        read, num_parallel_calls=settings.workers, deterministic=True
    )


def _weighed(
    source: PatchSource, weigh: Weigh, pixels: tf.Tensor, labels: tf.Tensor, number: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    # In Python: a data set's own operations never run on a GPU, what Python calls does.
    function = partial(source.call, weigh)
    weights = tf.numpy_function(function, [pixels, labels], tf.float32, stateful=False)
    weights.set_shape(labels.shape)
    return pixels, labels, number, weights


def numbers_from(first: int, workers: int) -> tf.data.Dataset:
    """first, first + 1, ... without end, for stages that ``workers`` threads work on."""
    options = tf.data.Options()
    # TensorFlow's own pool has a thread a core: reading waits for disks and wants its workers.
    options.threading.private_threadpool_size = workers + PREFETCHED
    options.autotune.enabled = False
    return tf.data.Dataset.range(first, tf.int64.max).with_options(options)
