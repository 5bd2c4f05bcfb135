"""tf.data batches of sampled patches for the patch classifier."""

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

# Finished batches that wait for the network; each worker holds one more.
PREFETCHED = 2


def patch_dataset(
    source: PatchSource,
    augmentation: PatchAugmentation | None = None,
    *,
    weigh: Weigh | None = None,
) -> tf.data.Dataset:
    """An endless data set of batches, starting at ``source.settings.first_batch``.

    TensorFlow replaces the exception of a failed source by its own. Iterate, or call fit, within
    ``source.raising_failure()`` to get the original.

    Returns:
        Pairs of (B, S, S, 3) float32 RGB in [0, 1] and (B, C) float32 one-hot labels. A source with
        masks gives (B, S, S, C) labels, which are augmented with their patches. With ``weigh``,
        the samples' (B,) float32 weights come third.
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
    # A separate stage, because batches that wait for it are uint8, a quarter of the memory.
    finished = batches.map(finish, num_parallel_calls=PREFETCHED, deterministic=True)
    return finished.prefetch(PREFETCHED)


def raw_patch_dataset(source: PatchSource) -> tf.data.Dataset:
    """Unaugmented batches: (B, S, S, 3) uint8, int32 labels, and the batch's number."""
    settings = source.settings

    def read(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # One call per batch: a Python call per patch would cost a fifth of the reading time.
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
    # In Python, because the operations of a data set never run on a GPU.
    function = partial(source.call, weigh)
    weights = tf.numpy_function(function, [pixels, labels], tf.float32, stateful=False)
    weights.set_shape(labels.shape)
    return pixels, labels, number, weights


def numbers_from(first: int, workers: int) -> tf.data.Dataset:
    """An endless data set first, first + 1, ... for stages with ``workers`` threads."""
    options = tf.data.Options()
    # TensorFlow's own pool has one thread per core. Reading waits for disks and needs its workers.
    options.threading.private_threadpool_size = workers + PREFETCHED
    options.autotune.enabled = False
    return tf.data.Dataset.range(first, tf.int64.max).with_options(options)
