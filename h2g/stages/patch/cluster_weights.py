"""Cluster-weighted cross-entropy (CWCE), as weights of the samples in a batch.

The network is trained with plain cross-entropy. Keras multiplies each sample's loss by its weight
and takes the mean over the batch. With these weights, that mean is the loss of the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from h2g.clustering.graph import open_clusters

Form = Literal["cwce", "cwce-literal", "cwce-per-class"]


def cluster_weights(clusters: np.ndarray, labels: np.ndarray, *, form: Form) -> np.ndarray:
    """Weights of a batch's samples.

    B samples lie in K clusters, and n of them in the sample's own cluster.

    - ``cwce``: B / (K n). The mean loss in each present cluster, then the mean over clusters.
    - ``cwce-literal``: B / K. The sum of all losses, divided by K. Each sample lies in one cluster,
      so this only scales the loss and balances nothing.
    - ``cwce-per-class``: the first form in each present class, then the mean over classes.

    Args:
        clusters, labels: (B,) integers.
    Returns:
        (B,) float32; the mean of the first and third forms is 1.
    Source: Pedersen et al. 2022 (H2G-Net), section 2.4: the text, equation 1, and the public
        training script.
    """
    size = len(clusters)
    if form == "cwce-literal":
        return np.full(size, size / len(np.unique(clusters)), np.float32)
    if form == "cwce":
        return _balanced(clusters).astype(np.float32)
    classes = np.unique(labels)
    weights = np.empty(size)
    for label in classes:
        in_class = labels == label
        balanced = _balanced(clusters[in_class])
        weights[in_class] = balanced * size / (len(classes) * in_class.sum())
    return weights.astype(np.float32)


def open_weigher(file: Path, *, form: Form) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function that computes the weights of a batch.

    It takes pixels, (B, S, S, 3) uint8 without augmentation, and (B,) labels.

    Args:
        file: clusters/model.keras of a run.
    """
    cluster = open_clusters(file)
    return lambda pixels, labels: cluster_weights(cluster(pixels), labels, form=form)


def _balanced(groups: np.ndarray) -> np.ndarray:
    """Weights, (n,), with mean 1 that give every group the same sum."""
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return len(groups) / (len(counts) * counts[inverse])
