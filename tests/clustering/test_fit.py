from __future__ import annotations

import numpy as np
import pytest

from h2g.clustering.fit import fit_clusters
from h2g.errors import TrainingError
from h2g.recipes.clustering import ClusteringSettings

RNG = np.random.default_rng(0)
# Two directions of spread 10 and 1 and one of 0.1: 99 %, 1 % and 0.01 % of the variance if they
# were not standardised first, a third each as they are.
SPREAD = RNG.normal(size=(3000, 3)) * (10, 1, 0.1)


def settings(**changes) -> ClusteringSettings:
    return ClusteringSettings(**{"clusters": 2, **changes})


def test_features_weigh_the_same_whatever_their_scale():
    fitted = fit_clusters(SPREAD, settings(variance=0.95), seed=0)
    assert len(fitted.pca.components_) == 3
    np.testing.assert_allclose(fitted.pca.explained_variance_ratio_, 1 / 3, atol=0.02)


def test_components_are_kept_up_to_the_wanted_variance():
    # Nine copies of one direction beside an independent one: 90 % and 10 %.
    features = np.concatenate([SPREAD[:, [0]].repeat(9, axis=1), SPREAD[:, [1]]], axis=1)
    for variance, components in ((0.89, 1), (0.92, 2)):
        fitted = fit_clusters(features, settings(variance=variance), seed=0)
        assert len(fitted.pca.components_) == components


def test_whitened_components_have_unit_variance():
    features = np.concatenate([SPREAD[:, [0]].repeat(9, axis=1), SPREAD[:, [1]]], axis=1)
    for whiten, spread in ((True, [1, 1]), (False, [3, 1])):
        fitted = fit_clusters(features, settings(whiten=whiten), seed=0)
        found = fitted.project(features).std(axis=0, ddof=1)
        np.testing.assert_allclose(found, spread, rtol=0.02)


def test_groups_that_lie_apart_are_the_clusters():
    kinds = RNG.integers(3, size=600)
    features = np.array([[0, 0], [9, 0], [0, 9]])[kinds] + RNG.normal(size=(600, 2)) * 0.3
    fitted = fit_clusters(features, settings(clusters=3), seed=0)
    # Each kind has a cluster of its own, whatever its number.
    pairs = set(zip(kinds.tolist(), fitted.assign(features).tolist(), strict=True))
    assert len(pairs) == 3
    # The nearest centre is far nearer than the next.
    distances = np.sort(fitted.distances(features), axis=1)
    assert (distances[:, 0] < distances[:, 1] / 2).all()


def test_rounding_makes_no_clusters():
    # 5 and its neighbours among float32 numbers, beside one feature that varies.
    rounding = np.float32(5) + np.float32(5e-7) * RNG.integers(-1, 2, size=(400, 9))
    kinds = RNG.integers(2, size=400)
    features = np.concatenate([rounding, kinds[:, None]], axis=1).astype(np.float32)
    assert len(np.unique(features[:, 0])) == 3
    fitted = fit_clusters(features, settings(), seed=0)
    assert fitted.scaler.scale_[:9].tolist() == [1] * 9
    assert len(set(zip(kinds.tolist(), fitted.assign(features).tolist(), strict=True))) == 2
    with pytest.raises(TrainingError, match="Only 1 of the drawn patches differ"):
        fit_clusters(rounding, settings(), seed=0)


def test_the_seed_decides():
    first, second = (fit_clusters(SPREAD, settings(clusters=8), seed=5) for _ in range(2))
    np.testing.assert_allclose(first.kmeans.cluster_centers_, second.kmeans.cluster_centers_)


@pytest.mark.parametrize(
    ("features", "clusters", "sentence"),
    [
        (np.ones((50, 4)), 2, r"Only 1 .* too few for 2 clusters"),
        (np.ones((50, 4)), 1, r"Only 1 .* too few for 1 clusters"),
        (np.repeat(np.eye(3), 20, axis=0), 4, r"Only 3 .* \(clustering\.clusters\)"),
        (np.full((9, 2), np.nan), 2, "features of some patches are not finite"),
    ],
)
def test_features_without_clusters_are_told(features, clusters, sentence):
    with pytest.raises(TrainingError, match=sentence):
        fit_clusters(features, settings(clusters=clusters), seed=0)
