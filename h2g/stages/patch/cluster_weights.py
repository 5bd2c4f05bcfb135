"""Cluster-weighted cross-entropy (CWCE), as weights of the samples in a batch.

The network is trained on plain cross-entropy; Keras takes the mean over a batch of each sample's
loss times its weight, and these weights make that the loss of the paper.
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

    With B samples in K clusters, n of them in a sample's own cluster:

    - ``cwce``: B / (K n). The mean loss within each cluster present, then the mean over clusters.
    - ``cwce-literal``: B / K. All losses, summed, over K. Each sample lies in one cluster, so this
      balances nothing; it scales the loss.
    - ``cwce-per-class``: the first form within each class present, then the mean over classes.

    Args:
        clusters, labels: (B,) integers.
    Returns:
        (B,) float32; the first and the third form's mean is 1.
    Source: Pedersen et al. 2022 (H2G-Net), section 2.4: its text, its equation 1, and its public
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
        own = labels == label
        weights[own] = _balanced(clusters[own]) * size / (len(classes) * own.sum())
    return weights.astype(np.float32)


def open_weigher(file: Path, *, form: Form) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Weights from pixels, (B, S, S, 3) uint8 and not augmented, and (B,) labels.

    Args:
        file: a run's clusters/model.keras.
    """
    cluster = open_clusters(file)
    return lambda pixels, labels: cluster_weights(cluster(pixels), labels, form=form)


def _balanced(groups: np.ndarray) -> np.ndarray:
    """(n,) weights of mean 1 that give every group the same sum."""
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return len(groups) / (len(counts) * counts[inverse])
