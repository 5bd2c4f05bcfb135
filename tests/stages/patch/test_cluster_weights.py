"""CWCE by hand: the weights, the loss that Keras computes with them, and its gradient."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from h2g.stages.patch.cluster_weights import cluster_weights

FORMS = ("cwce", "cwce-literal", "cwce-per-class")
RNG = np.random.default_rng(0)


def weighted(losses: np.ndarray, clusters: list[int], labels: list[int], form: str) -> float:
    """The loss as Keras computes it: the mean of weight times loss."""
    return float(np.mean(cluster_weights(np.array(clusters), np.array(labels), form=form) * losses))


def test_one_cluster_is_cross_entropy():
    losses = RNG.random(5)
    for form in ("cwce", "cwce-per-class"):
        weights = cluster_weights(np.full(5, 3), np.zeros(5, int), form=form)
        assert weights.tolist() == [1] * 5
        assert weights.dtype == np.float32
    # Equation 1 as printed is the batch's sum.
    assert weighted(losses, [3] * 5, [0] * 5, "cwce-literal") == pytest.approx(losses.sum())


def test_two_unbalanced_clusters():
    losses = np.array([1.0, 2.0, 6.0, 10.0])
    # Cluster 7 has the mean (1 + 2 + 6) / 3 = 3, cluster 2 has 10: (3 + 10) / 2.
    assert weighted(losses, [7, 7, 7, 2], [0, 1, 0, 1], "cwce") == pytest.approx(6.5)
    # All four over two clusters: 19 / 2.
    assert weighted(losses, [7, 7, 7, 2], [0, 1, 0, 1], "cwce-literal") == pytest.approx(9.5)
    # Class 0 lies in cluster 7 alone: (1 + 6) / 2. Class 1: (2 + 10) / 2. (3.5 + 6) / 2.
    assert weighted(losses, [7, 7, 7, 2], [0, 1, 0, 1], "cwce-per-class") == pytest.approx(4.75)
    # One class, and within it the clusters as in the first form.
    assert weighted(losses, [7, 7, 7, 2], [1] * 4, "cwce-per-class") == pytest.approx(6.5)


def test_a_batch_of_one():
    for form in FORMS:
        assert cluster_weights(np.array([4]), np.array([1]), form=form).tolist() == [1]


def test_weights_equal_the_formula():
    clusters = RNG.integers(4, size=64)
    weights = cluster_weights(clusters, RNG.integers(2, size=64), form="cwce")
    counts = {int(q): int((clusters == q).sum()) for q in clusters}
    wanted = [64 / (len(counts) * counts[int(q)]) for q in clusters]
    np.testing.assert_allclose(weights, wanted, rtol=1e-6)
    assert weights.mean() == pytest.approx(1, rel=1e-6)


def cwce_of_the_text(truth: np.ndarray, softmax: np.ndarray, clusters: np.ndarray) -> float:
    losses = -np.log((truth * softmax).sum(axis=1))
    return float(np.mean([losses[clusters == q].mean() for q in np.unique(clusters)]))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def test_the_gradient_is_that_of_the_papers_loss():
    logits, clusters = RNG.normal(size=(7, 3)), np.array([0, 0, 0, 0, 5, 5, 9])
    labels = RNG.integers(3, size=7)
    truth = np.eye(3)[labels]
    weights = cluster_weights(clusters, labels, form="cwce")
    variable = tf.Variable(logits, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = keras.losses.CategoricalCrossentropy()(
            tf.constant(truth, tf.float32), tf.nn.softmax(variable), sample_weight=weights
        )
    assert float(loss) == pytest.approx(cwce_of_the_text(truth, softmax(logits), clusters), 1e-5)
    found = tape.gradient(loss, variable).numpy()
    step, wanted = 1e-5, np.zeros_like(logits)
    for place in np.ndindex(*logits.shape):
        moved = [logits.copy(), logits.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = (cwce_of_the_text(truth, softmax(each), clusters) for each in moved)
        wanted[place] = (high - low) / (2 * step)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_weights_reach_the_loss_in_float32_under_every_policy(policy):
    # 1 / 3 of 1000 has no half-precision value that is near enough for the tolerance below.
    weights = np.array([1000 / 3, 1e-3], np.float32)
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((4,))
        x = keras.layers.Dense(4, kernel_initializer="zeros")(inputs)
        model = keras.Model(inputs, keras.layers.Softmax(dtype="float32")(x))
        model.compile(keras.optimizers.SGD(0.0), keras.losses.CategoricalCrossentropy())
        loss = model.train_on_batch(np.ones((2, 4)), np.eye(4)[:2], sample_weight=weights)
    finally:
        keras.config.set_dtype_policy("float32")
    # Zero weights: every class has probability 1 / 4.
    assert float(loss) == pytest.approx(np.log(4) * weights.sum() / 2, rel=1e-5)
