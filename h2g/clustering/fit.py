"""Clusters of feature vectors: z-score, principal components, k-means, all scikit-learn's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from h2g.errors import TrainingError
from h2g.recipes.clustering import ClusteringSettings

# Starts of k-means, of which the best is kept.
STARTS = 10
# A spread below this share of a feature's size is rounding in float32, in which networks compute.
ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class FittedClusters:
    """The three transforms, fitted in float64."""

    scaler: StandardScaler
    pca: PCA
    kmeans: KMeans

    def project(self, features: np.ndarray) -> np.ndarray:
        """(n, d) features -> (n, m) float64 principal components."""
        return self.pca.transform(self.scaler.transform(np.asarray(features, np.float64)))

    def assign(self, features: np.ndarray) -> np.ndarray:
        """(n, d) features -> (n,) int32 numbers of their clusters."""
        return self.kmeans.predict(self.project(features))

    def distances(self, features: np.ndarray) -> np.ndarray:
        """(n, d) features -> (n, k) float64 distances to the centres."""
        return self.kmeans.transform(self.project(features))


def fit_clusters(
    features: np.ndarray, settings: ClusteringSettings, *, seed: int
) -> FittedClusters:
    """Fits the transforms one after the other.

    Args:
        features: (n, d), any float type.
    Raises:
        TrainingError: features that have no clusters: not numbers, all the same, or fewer than
            the clusters wanted.
    Source: Pedersen et al. 2022 (H2G-Net), section 2.3.
    """
    features = np.asarray(features, np.float64)
    _check(features, clusters=settings.clusters)
    scaler = StandardScaler().fit(features)
    # scikit-learn does so where there is no spread at all; enlarged, rounding would make clusters.
    scaler.scale_[_is_constant(features)] = 1.0
    standardised = scaler.transform(features)
    # All components when all the variance is wanted: scikit-learn takes no share of 1.
    kept = settings.variance if settings.variance < 1 else None
    # The quick solver for many patches of few features; the full one takes ten times as long.
    pca = PCA(kept, svd_solver="covariance_eigh", whiten=settings.whiten).fit(standardised)
    kmeans = KMeans(settings.clusters, n_init=STARTS, random_state=seed)
    # One thread: the same sums wherever it runs, and on a busy machine threads that wait for each
    # other take many times as long.
    with threadpool_limits(1):
        kmeans.fit(pca.transform(standardised))
    return FittedClusters(scaler, pca, kmeans)


def _check(features: np.ndarray, *, clusters: int) -> None:
    if not np.isfinite(features).all():
        raise TrainingError(
            "The features of some patches are not numbers: their network is not trained, or "
            "damaged. Give another one as clustering.features."
        )
    varying = features[:, ~_is_constant(features)]
    different = len(np.unique(varying, axis=0)) if varying.size else 1
    if different < max(clusters, 2):
        raise TrainingError(
            f"Only {different} of the drawn patches differ in their features, too few for clusters "
            f"(wanted: {clusters}). Draw more (recipe: clustering.batches), ask for fewer "
            "(clustering.clusters), or take other features (clustering.features)."
        )


def _is_constant(features: np.ndarray) -> np.ndarray:
    """(d,) bool: features that are the same in all patches, but for rounding."""
    return features.std(axis=0) <= ROUNDING * np.abs(features).max(axis=0)
