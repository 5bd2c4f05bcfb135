"""Layers of a vision transformer, of operations that every export format has."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="h2g")
class StandardisedConv2D(layers.Conv2D):
    """A convolution whose filters are standardised: mean 0 and variance 1 over all their weights.

    Source: Qiao et al. 2019; epsilon 1e-5 as in Chen et al. 2021 (TransUNet).
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        mean, variance = ops.moments(kernel, axes=(0, 1, 2), keepdims=True)
        return super().convolution_op(inputs, (kernel - mean) / ops.sqrt(variance + 1e-5))


@keras.saving.register_keras_serializable(package="h2g")
class PositionEmbedding(layers.Layer):
    """Adds a learnt vector to each token, (N, T, F) in and out; T is fixed."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.embedding = self.add_weight(
            shape=(1, *input_shape[1:]), initializer="zeros", name="embedding"
        )

    def call(self, tokens: Any) -> Any:
        return tokens + self.embedding


@keras.saving.register_keras_serializable(package="h2g")
class SelfAttention(layers.Layer):
    """Attention of each token to all tokens, (N, T, F) in and out.

    ``keras.layers.MultiHeadAttention`` computes the same with einsum, which TFLite cannot convert
    for batches of any size.

    Args:
        heads: divides F.
    Source: Vaswani et al. 2017, section 3.2.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = int(input_shape[-1] or 0)
        if width % self.heads:
            raise ValueError(f"{width} features do not divide into {self.heads} heads")
        self.query, self.key, self.value, self.out = (
            layers.Dense(width, name=name, dtype=self.dtype_policy)
            for name in ("query", "key", "value", "out")
        )
        for dense in (self.query, self.key, self.value, self.out):
            dense.build(input_shape)

    def call(self, tokens: Any) -> Any:
        _, count, width = tokens.shape
        query, key, value = (
            self._by_head(dense(tokens)) for dense in (self.query, self.key, self.value)
        )
        similarity = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        weights = ops.softmax(similarity / math.sqrt(width // self.heads), axis=-1)
        attended = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.out(ops.reshape(attended, (-1, count, width)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}

    def _by_head(self, x: Any) -> Any:
        """Reshapes (N, T, F) to (N, heads, T, F / heads)."""
        _, count, width = x.shape
        x = ops.reshape(x, (-1, count, self.heads, width // self.heads))
        return ops.transpose(x, (0, 2, 1, 3))


@keras.saving.register_keras_serializable(package="h2g")
class Gelu(layers.Layer):
    """x * P(X <= x) for a standard normal X.

    Keras's own uses erfc, which the ONNX converter does not know.
    """

    def call(self, x: Any) -> Any:
        return 0.5 * x * (1.0 + ops.erf(x / math.sqrt(2.0)))


def transformer_block(tokens: Any, *, heads: int, dropout: float, name: str) -> Any:
    """Attention and a dense network of four times the width, each behind a layer norm and added.

    Args:
        tokens: (N, T, F).
    Returns:
        (N, T, F).
    Source: Dosovitskiy et al. 2021 (ViT), equations 2 and 3.
    """
    width = tokens.shape[-1]
    x = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_attention_norm")(tokens)
    x = SelfAttention(heads, name=f"{name}_attention")(x)
    tokens = layers.Add(name=f"{name}_attention_add")([tokens, x])
    x = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_dense_norm")(tokens)
    x = Gelu(name=f"{name}_gelu")(layers.Dense(4 * width, name=f"{name}_dense_0")(x))
    x = layers.Dropout(dropout, name=f"{name}_dropout_0")(x)
    x = layers.Dense(width, name=f"{name}_dense_1")(x)
    x = layers.Dropout(dropout, name=f"{name}_dropout_1")(x)
    return layers.Add(name=f"{name}_dense_add")([tokens, x])
