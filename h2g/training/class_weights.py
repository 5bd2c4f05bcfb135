"""Weights of patches by class, alone or multiplied by their weights by cluster."""

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
    """Weights of the classes, scaled so that a drawn patch has a mean weight of 1.

    ``balanced`` gives 1 / (K rate), where K is the number of classes that are drawn. The loss is
    then the mean over classes of the mean within each class. Numbers by name keep their ratios; a
    class without a number has 1.

    Args:
        class_names: background first.
        rates: (C,) share of each class among the draws, with sum 1.
    Returns:
        (C,) float32; 0 for a class that is never drawn if the weights are balanced.
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
    *,
    sampling_rates: Sequence[float] | None = None,
) -> Weigh | None:
    """Function that weighs the batches drawn from ``slides``; None if all weights are equal.

    Args:
        order, sampling_rates: levels of the sampling tree, and the labels' rates in it.
        by_cluster: weights by cluster, which are multiplied by the weights by class.
    """
    if setting == "none":
        return by_cluster
    tree = build_tree(slides, order, sampling_rates)
    if tree is None:
        raise TrainingError(
            "The slides have no labelled patches to weigh. Check their annotations."
        )
    rates = class_rates(tree, slides, len(class_names))
    weights = class_weights(setting, class_names=class_names, rates=rates)
    return by_class(weights, by_cluster)


def by_class(weights: np.ndarray, by_cluster: Weigh | None = None) -> Weigh:
    """Function that weighs patches by the (C,) weights of their class.

    With weights by cluster, it returns the product, scaled to their sum in the batch. The weights
    of CWCE thus keep their mean of 1, and those of its literal form their scale.
    """

    def weigh(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        class_factors = weights[labels]
        if by_cluster is None:
            return class_factors
        cluster_factors = by_cluster(pixels, labels)
        product = class_factors * cluster_factors
        return (product * (cluster_factors.sum() / product.sum())).astype(np.float32)

    return weigh
