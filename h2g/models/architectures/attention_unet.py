"""Attention U-Net: a U-Net whose skip connections are weighted pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from h2g.models.attention import attention_gate
from h2g.models.blocks import (
    MOMENTUM,
    check_sides,
    conv_block,
    conv_bn_relu,
    segmentation_head,
    unet_encoder,
)

FILTERS = (64, 128, 256, 512, 1024)


def attention_unet(
    input_shape: tuple[int, int, int] = (512, 512, 3),
    num_classes: int = 2,
    *,
    filters: Sequence[int] = FILTERS,
) -> keras.Model:
    """Network that classifies each pixel of a tile; 34,894,262 parameters.

    Args:
        input_shape: (S, S, 3), S divisible by 2 ** (len(filters) - 1); the model takes
            (N, S, S, 3) float32, RGB in [0, 1].
        filters: width of each level, the finest first; the last is the bottleneck.
    Returns:
        A model with the output ``output_0_segmentation``, (N, S, S, num_classes) float32 softmax.
    Source: Oktay et al. 2018, in two dimensions and with the gate at the skip connection's size.
    """
    check_sides(input_shape, poolings=len(filters) - 1, setting="size_px")
    tile = keras.Input(input_shape, name="patch")
    skips, x = unet_encoder(tile, filters, momentum=MOMENTUM)
    for depth in reversed(range(len(skips))):
        name, width = f"decoder_{depth}", filters[depth]
        x = layers.UpSampling2D(interpolation="nearest", name=f"{name}_up")(x)
        x = conv_bn_relu(x, width, momentum=MOMENTUM, name=f"{name}_up")
        skip = attention_gate(skips[depth], x, joined="sum", momentum=MOMENTUM, name=f"{name}_gate")
        x = layers.Concatenate(name=f"{name}_concat")([skip, x])
        x = conv_block(x, width, momentum=MOMENTUM, name=name)
    return keras.Model(tile, segmentation_head(x, num_classes), name="attention_unet")
