"""ResNet-18, which keras.applications lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

EPSILON = 1e-5


def resnet18(
    input_shape: tuple[int, int, int] = (256, 256, 3),
    *,
    input_tensor: Any = None,
    include_top: bool = False,
    weights: str | None = None,
    filters: int = 64,
    blocks: Sequence[int] = (2, 2, 2, 2),
) -> keras.Model:
    """Feature extractor for patches; 11,186,112 parameters, 11,176,512 of them trainable.

    It takes the arguments of a builder of keras.applications, and two of its own. The last layer of
    each stage is named ``conv2_out`` to ``conv5_out``.

    Args:
        input_shape: (S, S, 3) with S >= 32; standardised RGB.
        input_tensor: tensor that replaces the network's input.
        weights: a file, or None for random weights.
        filters: filters of the first stage; each later stage has twice as many.
        blocks: number of blocks of two convolutions in each of the four stages. (3, 4, 6, 3) is
            ResNet-34.
    Returns:
        A model with the output (N, S / 32, S / 32, 8 * filters).
    Raises:
        ValueError: ``imagenet``, which Keras lacks for this network, a file of another network, or
            not four numbers of blocks.
    Source: He et al. 2016, table 1.
    """
    if include_top or weights == "imagenet":
        raise ValueError("Keras has no ImageNet weights of ResNet-18")
    if len(blocks) != 4 or min(blocks) < 1:
        raise ValueError(f"blocks: give four numbers from 1, not {list(blocks)}")
    patch = keras.Input(input_shape) if input_tensor is None else input_tensor
    x = layers.ZeroPadding2D(3, name="conv1_pad")(patch)
    x = _conv_bn(x, filters, size=7, strides=2, name="conv1")
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, repeats in enumerate(blocks, start=2):
        width = filters * 2 ** (stage - 2)
        for number in range(1, repeats + 1):
            strides = 2 if stage > 2 and number == 1 else 1
            x = _block(x, width, strides=strides, name=f"conv{stage}_block{number}")
            out = f"conv{stage}_out" if number == repeats else f"conv{stage}_block{number}_out"
            x = layers.ReLU(name=out)(x)
    model = keras.Model(keras.utils.get_source_inputs(patch)[0], x, name="resnet18")
    if weights:
        model.load_weights(weights)
    return model


def _block(x: Any, width: int, *, strides: int, name: str) -> Any:
    """(N, h, w, F) -> (N, h / strides, w / strides, width): two 3x3 convolutions and a sum."""
    shortcut = x
    if strides > 1 or x.shape[-1] != width:
        shortcut = _conv_bn(x, width, size=1, strides=strides, name=f"{name}_0")
    # One zero on each side, as in the authors' code. "same" would put both on one side.
    x = layers.ZeroPadding2D(1, name=f"{name}_1_pad")(x)
    x = _conv_bn(x, width, size=3, strides=strides, name=f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = _conv_bn(x, width, size=3, name=f"{name}_2")
    return layers.Add(name=f"{name}_add")([shortcut, x])


def _conv_bn(x: Any, filters: int, *, size: int, strides: int = 1, name: str) -> Any:
    x = layers.Conv2D(filters, size, strides=strides, use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
