"""The Keras layers against scikit-learn, on numbers that were not fitted on."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from h2g.clustering.fit import FittedClusters, fit_clusters
from h2g.clustering.graph import cluster_network
from h2g.clustering.layers import Assign, Project, Standardize
from h2g.recipes.clustering import ClusteringSettings

WIDTH = 24


def drawn(count: int, *, seed: int) -> np.ndarray:
    """Features of three kinds of patches, each in its own place: correlated, of scales from 1e-2
    to 1e2, the first constant, the second constant and not zero."""
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(99)
    places, mixing = fixed.normal(size=(3, 6)) * 4, fixed.normal(size=(6, WIDTH))
    kinds = rng.integers(3, size=count)
    features = (places[kinds] + rng.normal(size=(count, 6))) @ mixing
    features = np.maximum(features, 0) * np.logspace(-2, 2, WIDTH)
    features[:, 0], features[:, 1] = 0.0, 7.3
    return features.astype(np.float32)


def fitted(**changes) -> FittedClusters:
    return fit_clusters(drawn(800, seed=1), ClusteringSettings(**changes), seed=3)


def layers(clusters: FittedClusters) -> keras.Model:
    """The three of the frozen graph, alone: features in, all three results out."""
    features = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Identity()])
    network = cluster_network(features, clusters)
    x = keras.Input((WIDTH,))
    standard = network.get_layer("standardize")(x)
    components = network.get_layer("project")(standard)
    return keras.Model(x, [standard, components, network.get_layer("output_0_cluster")(components)])


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Within 1e-4 of each column's size."""
    size = np.abs(theirs).max(axis=0)
    np.testing.assert_array_less(np.abs(ours - theirs).max(axis=0), 1e-4 * size + 1e-12)


@pytest.mark.parametrize(
    ("changes", "components"),
    [
        ({"clusters": 10}, None),
        ({"clusters": 10, "whiten": True}, None),
        ({"clusters": 5, "variance": 1.0, "whiten": False}, WIDTH),
        ({"clusters": 4, "variance": 0.2}, 1),
        ({"clusters": 4, "variance": 0.2, "whiten": True}, 1),
        ({"clusters": 1}, None),
    ],
)
def test_parity_with_scikit_learn_on_held_out_features(changes, components):
    clusters = fitted(**changes)
    held_out = drawn(640, seed=2)
    standard, projected, ids = (np.asarray(out) for out in layers(clusters)(held_out))
    assert components in (None, projected.shape[1])
    wanted = clusters.scaler.transform(held_out.astype(np.float64))
    # Two features have no spread: scikit-learn divides them by 1.
    assert clusters.scaler.scale_[:2].tolist() == [1, 1]
    assert_close(standard, wanted)
    assert_close(projected, clusters.pca.transform(wanted))
    distances = np.sort(clusters.kmeans.transform(clusters.pca.transform(wanted)), axis=1)
    tied = distances[:, 0] > (1 - 1e-5) * distances[:, 1] if len(distances[0]) > 1 else False
    assert ((ids == clusters.assign(held_out)) | tied).all()
    assert np.mean(tied) < 0.01
    assert len(np.unique(ids)) >= 0.8 * changes["clusters"]
    assert ids.dtype == np.int32


def test_of_equally_near_centres_the_first_is_taken():
    assign = Assign(3)
    assign.build((None, 2))
    assign.set_weights([np.array([[5, 5], [1, 0], [-1, 0]], np.float32)])
    # (0, 3) lies as far from the second as from the third; the last row is the first centre.
    ids = assign(np.array([[0, 3], [-2, 0], [2, 0], [5, 5]], np.float32))
    assert np.asarray(ids).tolist() == [1, 2, 1, 0]


def test_worked_by_hand():
    standardize, project = Standardize(), Project(1)
    standardize.build((None, 2))
    project.build((None, 2))
    standardize.set_weights([np.array([1.0, 2.0]), np.array([2.0, 1.0])])
    project.set_weights([np.array([1.0, 0.0]), np.array([[3.0], [4.0]]), np.array([5.0])])
    standard = standardize(np.array([[5.0, 2.0]], np.float32))
    assert np.asarray(standard).tolist() == [[2.0, 0.0]]
    # ((2 - 1) * 3 + 0 * 4) / 5
    np.testing.assert_allclose(np.asarray(project(standard)), [[0.6]], rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_float32_under_every_policy(policy):
    clusters = fitted(clusters=6)
    held_out = drawn(200, seed=2)
    before = np.asarray(layers(clusters)(held_out)[1])
    keras.config.set_dtype_policy(policy)
    try:
        model = layers(clusters)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {v.dtype for v in model.variables} == {"float32"}
    projected = model(held_out)[1]
    assert keras.backend.standardize_dtype(projected.dtype) == "float32"
    np.testing.assert_array_equal(np.asarray(projected), before)


def test_saved_and_loaded_they_give_the_same(tmp_path):
    model = layers(fitted(clusters=6, whiten=True))
    model.save(tmp_path / "layers.keras")
    again = keras.saving.load_model(tmp_path / "layers.keras")
    held_out = drawn(100, seed=2)
    for ours, theirs in zip(again(held_out), model(held_out), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert not again.trainable_variables
