"""Random changes of heatmaps, as if from a slightly different classifier."""

from __future__ import annotations

import numpy as np

from h2g.data.random_streams import RandomStream
from h2g.recipes.refinement import RefinementAugmentation


def changes_heatmaps(settings: RefinementAugmentation) -> bool:
    sigmas = settings.heatmap_noise, settings.heatmap_shift
    return settings.heatmap > 0 and max(sigmas) > 0


def disturb_heatmap(
    values: np.ndarray, *, seed: int, number: int, settings: RefinementAugmentation
) -> np.ndarray:
    """Adds noise to the logits, log(p of a class / p of background), of the classified cells.

    The noise is added with probability ``settings.heatmap``, independently for each tumour class.
    It is the sum of normal noise for each cell, with standard deviation ``heatmap_noise``, and one
    shift for the whole slide, with standard deviation ``heatmap_shift``. A probability of 0 or 1
    does not change.

    Args:
        values: (rows, cols, C) float32, softmax with background first. Cells that were not
            classified are all 0, and stay so.
        number: number of the example in a training's sequence. The random numbers depend only on
            it and on the seed.
    Returns:
        (rows, cols, C) float32, softmax again.
    """
    rng = np.random.default_rng([seed, RandomStream.HEATMAP_NOISE, number])
    if rng.random() >= settings.heatmap:
        return values
    rows, cols, classes = values.shape
    shift = rng.normal(size=classes - 1) * settings.heatmap_shift
    noise = rng.normal(size=(rows, cols, classes - 1)) * settings.heatmap_noise
    # A logit plus n is a probability times exp(n), before the softmax is scaled to 1 again.
    odds = values.astype(np.float64)
    odds[..., 1:] *= np.exp(noise + shift)
    total = odds.sum(axis=-1, keepdims=True)
    return np.divide(odds, total, out=odds, where=total > 0).astype(np.float32)
