"""Clusters of feature vectors, with scikit-learn: z-score, principal components, k-means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from h2g.errors import TrainingError
from h2g.recipes.clustering import ClusteringSettings

# Number of k-means starts; the best one is kept.
STARTS = 10
# A spread below this share of a feature's size is a rounding error of the networks' float32.
ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class FittedClusters:
    """The three transforms, fitted in float64."""

    scaler: StandardScaler
    pca: PCA
    kmeans: KMeans

    def project(self, features: np.ndarray) -> np.ndarray:
        """Principal components of features: (n, d) -> (n, m) float64."""
        return self.pca.transform(self.scaler.transform(np.asarray(features, np.float64)))

    def assign(self, features: np.ndarray) -> np.ndarray:
        """Cluster numbers of features: (n, d) -> (n,) int32."""
        return self.kmeans.predict(self.project(features))

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Distances of features to the centres: (n, d) -> (n, k) float64."""
        return self.kmeans.transform(self.project(features))


def fit_clusters(
    features: np.ndarray, settings: ClusteringSettings, *, seed: int
) -> FittedClusters:
    """Fits the transforms one after the other.

    Args:
        features: (n, d), any float type.
    Raises:
        TrainingError: the features are not finite, all equal, or fewer than the clusters.
    Source: Pedersen et al. 2022 (H2G-Net), section 2.3.
    """
    features = np.asarray(features, np.float64)
    _check_features(features, clusters=settings.clusters)
    scaler = StandardScaler().fit(features)
    # scikit-learn does this only without any spread. Enlarged rounding errors would form clusters.
    scaler.scale_[_is_constant(features)] = 1.0
    standardised = scaler.transform(features)
    # None keeps all components; scikit-learn does not accept a share of 1.
    components = settings.variance if settings.variance < 1 else None
    # The fast solver for many patches with few features; the full one takes ten times as long.
    pca = PCA(components, svd_solver="covariance_eigh", whiten=settings.whiten).fit(standardised)
    kmeans = KMeans(settings.clusters, n_init=STARTS, random_state=seed)
    # One thread gives the same sums on every machine. Several threads also wait for each other on a
    # busy machine, which takes many times as long.
    with threadpool_limits(1):
        kmeans.fit(pca.transform(standardised))
    return FittedClusters(scaler, pca, kmeans)


def _check_features(features: np.ndarray, *, clusters: int) -> None:
    if not np.isfinite(features).all():
        raise TrainingError(
            "The features of some patches are not finite, so their network is untrained or "
            "damaged. Set another network as clustering.features."
        )
    varying = features[:, ~_is_constant(features)]
    different = len(np.unique(varying, axis=0)) if varying.size else 1
    if different < max(clusters, 2):
        raise TrainingError(
            f"Only {different} of the drawn patches differ in their features, too few for "
            f"{clusters} clusters. In the recipe, draw more (clustering.batches), set fewer "
            "clusters (clustering.clusters), or use other features (clustering.features)."
        )


def _is_constant(features: np.ndarray) -> np.ndarray:
    """Flags, (d,) bool, of features that are equal in all patches except for rounding."""
    return features.std(axis=0) <= ROUNDING * np.abs(features).max(axis=0)
