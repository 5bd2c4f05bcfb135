from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from h2g.models.attention import (
    ChannelAttention,
    ChannelStatistics,
    PositionAttention,
    attention_gate,
    convolutional_attention,
    squeeze_excite,
)


def features(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def softmax(rows: np.ndarray) -> np.ndarray:
    grown = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("layer", [PositionAttention(), ChannelAttention()])
def test_attention_starts_as_the_identity(layer: keras.Layer) -> None:
    x = features(2, 3, 4, 16)
    np.testing.assert_array_equal(layer(x), x)
    assert layer.gamma.shape == ()
    assert any(weight is layer.gamma for weight in layer.trainable_weights)


def test_positions_see_those_most_like_them() -> None:
    x = features(2, 3, 4, 16)
    layer = PositionAttention(reduction=4)
    layer(x)
    layer.gamma.assign(0.5)
    flat = x.reshape(2, 12, 16)
    query, key, value = (
        flat @ each.kernel.numpy()[0, 0] for each in (layer.query, layer.key, layer.value)
    )
    assert query.shape == (2, 12, 4)
    # Each position's weights over the 12 positions sum to one.
    weights = softmax(query @ key.transpose(0, 2, 1))
    wanted = x + 0.5 * (weights @ value).reshape(x.shape)
    np.testing.assert_allclose(layer(x), wanted, atol=1e-5)


def test_projections_are_trained_and_counted() -> None:
    layer = PositionAttention()
    layer.build((None, 8, 8, 256))
    # Query and key 256 x 32, value 256 x 256, gamma; no biases.
    assert layer.count_params() == 81_920 + 1
    assert len(layer.trainable_weights) == 4


def test_channels_see_those_most_like_them() -> None:
    x = features(2, 3, 4, 5)
    layer = ChannelAttention()
    layer(x)
    layer.gamma.assign(2.0)
    wanted = x.copy()
    for number in range(2):
        channels = x[number].reshape(12, 5).T
        # Output channel i: the weights of row i sum to one.
        seen = softmax(channels @ channels.T) @ channels
        wanted[number] += 2.0 * seen.T.reshape(3, 4, 5)
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-4, atol=1e-4)


def test_layers_round_trip(tmp_path: Path) -> None:
    inputs = keras.Input((4, 4, 16))
    x = PositionAttention(reduction=2, name="position")(inputs)
    model = keras.Model(inputs, ChannelAttention(name="channel")(x))
    for layer in model.layers[1:]:
        layer.gamma.assign(0.3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_layer("position").reduction == 2
    x = features(1, 4, 4, 16)
    np.testing.assert_array_equal(again(x), model(x))
    assert not np.array_equal(again(x), x)


def test_gate_weighs_whole_pixels() -> None:
    skip, gate = keras.Input((4, 4, 6)), keras.Input((4, 4, 2))
    model = keras.Model([skip, gate], attention_gate(skip, gate, momentum=0.9, name="gate"))
    arrays = [1 + np.abs(features(1, 4, 4, 6)), features(1, 4, 4, 2)]
    shares = model(arrays).numpy() / arrays[0]
    # One weight in (0, 1) a pixel, the same for all channels.
    assert ((shares > 0) & (shares < 1)).all()
    np.testing.assert_allclose(shares, shares[..., :1].repeat(6, axis=-1), rtol=1e-5)
    assert shares.std() > 0
    # Half the skip's width from each of the two.
    assert model.get_layer("gate_concat").output.shape == (None, 4, 4, 6)


def test_squeeze_excite_by_hand() -> None:
    inputs = keras.Input((4, 4, 16))
    model = keras.Model(inputs, squeeze_excite(inputs, name="se"))
    squeeze, excite = (weight.numpy() for weight in model.weights)
    assert squeeze.shape == (16, 2)
    x = features(2, 4, 4, 16)
    hidden = np.maximum(x.mean(axis=(1, 2)) @ squeeze, 0)
    wanted = x * (1 / (1 + np.exp(-(hidden @ excite))))[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(model(x), wanted, atol=1e-5)


def test_cbam_weights_channels_then_pixels() -> None:
    inputs = keras.Input((5, 5, 8))
    output = convolutional_attention(inputs, ratio=4, momentum=0.9, name="cbam")
    model = keras.Model(inputs, output)
    x = features(2, 5, 5, 8)
    channels = model.get_layer("cbam_channels").output
    pixels = model.get_layer("cbam_pixels").output
    weighted, by_channel, by_pixel = keras.Model(inputs, [output, channels, pixels])(x)
    assert by_channel.shape == (2, 8)
    assert by_pixel.shape == (2, 5, 5, 1)
    np.testing.assert_allclose(
        weighted, x * by_channel.numpy()[:, None, None] * by_pixel.numpy(), rtol=1e-5
    )
    squeeze, excite = model.get_layer("cbam_squeeze"), model.get_layer("cbam_excite")
    logits = excite(squeeze(x.mean(axis=(1, 2)))) + excite(squeeze(x.max(axis=(1, 2))))
    np.testing.assert_allclose(by_channel, keras.ops.sigmoid(logits), rtol=1e-5)
    # Without biases: 7 x 7 on two maps, and the norm's four numbers.
    assert model.count_params() == (8 * 2 + 2) + (2 * 8 + 8) + 98 + 4


def test_maximum_and_mean_of_each_pixel() -> None:
    x = features(1, 2, 2, 5)
    found = ChannelStatistics()(x)
    np.testing.assert_allclose(found[..., 0], x.max(axis=-1))
    np.testing.assert_allclose(found[..., 1], x.mean(axis=-1), rtol=1e-5)


def test_a_gate_may_add_its_two_inputs() -> None:
    skip, gate = keras.Input((4, 4, 6)), keras.Input((4, 4, 6))
    summed = attention_gate(skip, gate, joined="sum", momentum=0.9, name="gate")
    joined = attention_gate(skip, gate, momentum=0.9, name="gate")
    counts = [keras.Model([skip, gate], output).count_params() for output in (summed, joined)]
    # The last convolution sees half the width of both together.
    assert counts[1] - counts[0] == 3
