from __future__ import annotations

import keras
import numpy as np
import pytest

from h2g.models.transformer import (
    Gelu,
    PositionEmbedding,
    SelfAttention,
    StandardisedConv2D,
    transformer_block,
)


def tokens(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_attention_is_that_of_keras() -> None:
    x, heads, width = tokens(2, 5, 12), 3, 12
    ours = SelfAttention(heads)
    ours.build(x.shape)
    theirs = keras.layers.MultiHeadAttention(heads, width // heads)
    theirs.build(x.shape, x.shape)
    rng = np.random.default_rng(1)
    ours.set_weights([rng.normal(size=weight.shape) for weight in ours.get_weights()])
    weights = []
    for kernel, bias in zip(ours.get_weights()[:6:2], ours.get_weights()[1:6:2], strict=True):
        weights += [kernel.reshape(width, heads, -1), bias.reshape(heads, -1)]
    kernel, bias = ours.get_weights()[6:]
    theirs.set_weights([*weights, kernel.reshape(heads, -1, width), bias])
    np.testing.assert_allclose(ours(x), theirs(x, x), rtol=1e-4, atol=1e-4)
    assert SelfAttention.from_config(ours.get_config()).heads == heads


def test_features_that_do_not_divide_into_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="10 features do not divide into 3 heads"):
        SelfAttention(3).build((None, 4, 10))


def test_gelu_is_that_of_keras() -> None:
    x = tokens(7, 3)
    np.testing.assert_allclose(Gelu()(x), keras.activations.gelu(x, approximate=False), atol=1e-6)


def test_filters_are_standardised() -> None:
    x = tokens(1, 6, 6, 4)
    layer = StandardisedConv2D(5, 3, use_bias=False)
    before = layer(x).numpy()
    kernel = layer.get_weights()[0]
    layer.set_weights([7 * kernel + 3])
    np.testing.assert_allclose(layer(x), before, rtol=1e-2, atol=1e-3)
    plain = keras.layers.Conv2D(5, 3, use_bias=False)
    plain.build(x.shape)
    axes = (0, 1, 2)
    plain.set_weights([(kernel - kernel.mean(axes)) / np.sqrt(kernel.var(axes) + 1e-5)])
    np.testing.assert_allclose(plain(x), before, rtol=1e-4, atol=1e-4)


def test_positions_are_learnt() -> None:
    layer = PositionEmbedding()
    x = tokens(2, 3, 4)
    np.testing.assert_array_equal(layer(x), x)
    layer.set_weights([np.ones((1, 3, 4))])
    np.testing.assert_array_equal(layer(x), x + 1)


def test_a_block_adds_to_its_tokens() -> None:
    inputs = keras.Input((3, 8))
    model = keras.Model(inputs, transformer_block(inputs, heads=2, dropout=0.5, name="block"))
    for layer in model.layers:
        if "dense_1" in layer.name or layer.name == "block_attention":
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    x = tokens(2, 3, 8)
    np.testing.assert_allclose(model(x, training=False), x, atol=1e-6)
