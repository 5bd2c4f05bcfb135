"""Heatmaps as a slightly other classifier would have made them, in their own cells."""

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
    """Noise on the logits, log(p of a class / p of background), of the cells that were classified.

    With probability ``settings.heatmap``, and for each tumour class by itself: normal noise of
    standard deviation ``heatmap_noise``, another in every cell, plus one shift of standard
    deviation ``heatmap_shift`` for the whole slide. A probability of 0 or 1 stays what it is.

    Args:
        values: (rows, cols, C) float32, softmax with background first; all 0 in a cell that was not
            classified, which stays so.
        number: of the example in the sequence of a training. With the seed it is all that the
            random numbers depend on.
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
