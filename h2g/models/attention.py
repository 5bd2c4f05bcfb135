"""Attention blocks, which weight pixels, positions or channels of features."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import layers, ops


def attention_gate(
    skip: Any,
    gate: Any,
    *,
    joined: Literal["concatenation", "sum"] = "concatenation",
    momentum: float,
    name: str,
) -> Any:
    """The skip connection, with each pixel weighted by features of the decoder and the skip.

    Args:
        skip: (N, h, w, F), features of the encoder.
        gate: (N, h, w, G), features of the decoder at the same size.
        joined: how the two are joined.
    Returns:
        (N, h, w, F).
    Source: Oktay et al. 2018, which adds the two. Pedersen et al. 2022 (H2G-Net) concatenate them.
    """
    width = max(1, skip.shape[-1] // 2)
    projected = []
    for role, tensor in (("gate", gate), ("skip", skip)):
        x = layers.Conv2D(width, 1, name=f"{name}_{role}_conv")(tensor)
        projected.append(layers.BatchNormalization(momentum=momentum, name=f"{name}_{role}_bn")(x))
    if joined == "sum":
        x = layers.Add(name=f"{name}_add")(projected)
    else:
        x = layers.Concatenate(name=f"{name}_concat")(projected)
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.Conv2D(1, 1, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)
    weight = layers.Activation("sigmoid", name=f"{name}_sigmoid")(x)
    return layers.Multiply(name=f"{name}_multiply")([skip, weight])


def squeeze_excite(x: Any, *, ratio: int = 8, name: str) -> Any:
    """Weights every channel by a function of the means of all channels.

    Args:
        x: (N, h, w, F).
        ratio: factor by which the inner layer is narrower.
    Returns:
        (N, h, w, F).
    Source: Hu et al. 2018, without biases as in Pedersen et al. 2022 (H2G-Net).
    """
    channels = x.shape[-1]
    weight = layers.GlobalAveragePooling2D(name=f"{name}_pool")(x)
    weight = layers.Dense(
        max(1, channels // ratio), activation="relu", use_bias=False, name=f"{name}_squeeze"
    )(weight)
    weight = layers.Dense(channels, activation="sigmoid", use_bias=False, name=f"{name}_excite")(
        weight
    )
    weight = layers.Reshape((1, 1, channels), name=f"{name}_reshape")(weight)
    return layers.Multiply(name=f"{name}_multiply")([x, weight])


def convolutional_attention(x: Any, *, ratio: int = 16, momentum: float, name: str) -> Any:
    """Weights every channel, then every pixel (CBAM).

    Args:
        x: (N, h, w, F).
        ratio: factor by which the inner layer of the channels' weights is narrower.
    Returns:
        (N, h, w, F).
    Source: Woo et al. 2018; the pixels' convolution without bias, as in the authors' code.
    """
    channels = x.shape[-1]
    squeeze = layers.Dense(max(1, channels // ratio), activation="relu", name=f"{name}_squeeze")
    excite = layers.Dense(channels, name=f"{name}_excite")
    pools = layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D
    pooled = [
        pool(name=f"{name}_{kind}_pool")(x)
        for kind, pool in zip(("mean", "max"), pools, strict=True)
    ]
    weight = layers.Add(name=f"{name}_add")([excite(squeeze(values)) for values in pooled])
    weight = layers.Activation("sigmoid", name=f"{name}_channels")(weight)
    weight = layers.Reshape((1, 1, channels), name=f"{name}_reshape")(weight)
    x = layers.Multiply(name=f"{name}_multiply_channels")([x, weight])

    weight = ChannelStatistics(name=f"{name}_statistics")(x)
    weight = layers.Conv2D(1, 7, padding="same", use_bias=False, name=f"{name}_conv")(weight)
    weight = layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(weight)
    weight = layers.Activation("sigmoid", name=f"{name}_pixels")(weight)
    return layers.Multiply(name=f"{name}_multiply_pixels")([x, weight])


@keras.saving.register_keras_serializable(package="h2g")
class ChannelStatistics(layers.Layer):
    """Maximum and mean over the channels of each pixel, (N, h, w, F) -> (N, h, w, 2)."""

    def call(self, features: Any) -> Any:
        largest = ops.max(features, axis=-1, keepdims=True)
        return ops.concatenate([largest, ops.mean(features, axis=-1, keepdims=True)], axis=-1)


@keras.saving.register_keras_serializable(package="h2g")
class PositionAttention(layers.Layer):
    """Adds to each position the features of the positions most similar to it.

    ``x + gamma * softmax(query key^T) value`` over the h * w positions; gamma starts at 0.

    Args:
        reduction: factor by which query and key are narrower than the features.

    Shapes: (N, h, w, F) in and out; h and w are fixed.
    Source: Fu et al. 2019 (DANet).
    """

    def __init__(self, reduction: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reduction = reduction

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = int(input_shape[-1] or 0)
        narrow = max(1, channels // self.reduction)
        self.query = self._projection(narrow, "query", input_shape)
        self.key = self._projection(narrow, "key", input_shape)
        self.value = self._projection(channels, "value", input_shape)
        self.gamma = self.add_weight(shape=(), initializer="zeros", name="gamma")

    def call(self, features: Any) -> Any:
        query, key, value = (
            _by_position(projection(features)) for projection in (self.query, self.key, self.value)
        )
        weights = ops.softmax(ops.matmul(query, ops.transpose(key, (0, 2, 1))), axis=-1)
        attended = ops.reshape(ops.matmul(weights, value), (-1, *features.shape[1:]))
        return features + self.gamma * attended

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reduction": self.reduction}

    def _projection(self, filters: int, name: str, input_shape: Any) -> layers.Conv2D:
        layer = layers.Conv2D(filters, 1, use_bias=False, name=name, dtype=self.dtype_policy)
        layer.build(input_shape)
        return layer


@keras.saving.register_keras_serializable(package="h2g")
class ChannelAttention(layers.Layer):
    """Adds to each channel the features of the channels most similar to it.

    ``x + gamma * softmax(x^T x) x^T`` over the channels. The weights of each output channel sum to
    one; gamma starts at 0.

    Shapes: (N, h, w, F) in and out; h and w are fixed.
    Source: Fu et al. 2019 (DANet), but without replacing the similarity by max - similarity.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.gamma = self.add_weight(shape=(), initializer="zeros", name="gamma")

    def call(self, features: Any) -> Any:
        positions = _by_position(features)
        channels = ops.transpose(positions, (0, 2, 1))
        weights = ops.softmax(ops.matmul(channels, positions), axis=-1)
        attended = ops.transpose(ops.matmul(weights, channels), (0, 2, 1))
        return features + self.gamma * ops.reshape(attended, (-1, *features.shape[1:]))


def _by_position(x: Any) -> Any:
    """Reshapes (N, h, w, F) to (N, h * w, F)."""
    _, height, width, channels = x.shape
    return ops.reshape(x, (-1, height * width, channels))
