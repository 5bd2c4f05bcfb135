"""Weights of patches by their class, and together with those by their cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from h2g.data.dataset import Weigh
from h2g.data.sampler import SlidePatches, build_tree, class_rates
from h2g.errors import TrainingError

Setting = Literal["none", "balanced"] | Mapping[str, float]


def class_weights(
    setting: Literal["balanced"] | Mapping[str, float],
    *,
    class_names: Sequence[str],
    rates: np.ndarray,
) -> np.ndarray:
    """Weights of the classes, scaled so that a drawn patch has a weight of 1 on average.

    ``balanced``: 1 / (K rate), with K classes that are drawn at all: the loss is the mean over
    classes of the mean within each. Numbers by name: in their proportion, 1 where not named.

    Args:
        class_names: background first.
        rates: (C,) share of each class among the draws, of sum 1.
    Returns:
        (C,) float32; 0 for a class that is never drawn where the weights are balanced.
    """
    if setting == "balanced":
        drawn = rates > 0
        weights = np.divide(1, rates * drawn.sum(), out=np.zeros_like(rates), where=drawn)
    else:
        weights = np.array([float(setting.get(name, 1.0)) for name in class_names])
        weights /= weights @ rates
    return weights.astype(np.float32)


def split_weigher(
    setting: Setting,
    slides: Sequence[SlidePatches],
    order: Sequence[str],
    class_names: Sequence[str],
    by_cluster: Weigh | None,
) -> Weigh | None:
    """What weighs the batches that are drawn from ``slides``; None where all weigh the same.

    Args:
        order: levels of the sampling tree.
        by_cluster: weights by cluster, with which those by class are multiplied.
    """
    if setting == "none":
        return by_cluster
    tree = build_tree(slides, order)
    if tree is None:
        raise TrainingError("There is no patch to weigh: the slides have no labelled patches.")
    rates = class_rates(tree, slides, len(class_names))
    weights = class_weights(setting, class_names=class_names, rates=rates)
    return by_class(weights, by_cluster)


def by_class(weights: np.ndarray, by_cluster: Weigh | None = None) -> Weigh:
    """Weighs patches by the (C,) weights of their class.

    With weights by cluster the product, scaled to the sum that those have in the batch: the weights
    of CWCE keep their mean of 1, and those of its literal form their scale.
    """

    def weigh(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        own = weights[labels]
        if by_cluster is None:
            return own
        clustered = by_cluster(pixels, labels)
        product = own * clustered
        return (product * (clustered.sum() / product.sum())).astype(np.float32)

    return weigh
