"""TransUNet: a residual network, a vision transformer on its features, and a U-Net's decoder."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from h2g.models.blocks import (
    MOMENTUM,
    conv_block,
    conv_bn_relu,
    segmentation_head,
    upsample_bilinear,
)
from h2g.models.transformer import PositionEmbedding, StandardisedConv2D, transformer_block

GROUPS = 32
# Number of bottlenecks in each stage; stage i has 4 * 2 ** i * filters channels.
BLOCKS = (3, 4, 9)
LARGEST_STRIDE = 16
DROPOUT = 0.1


def trans_unet(
    input_shape: tuple[int, int, int] = (512, 512, 3),
    num_classes: int = 2,
    *,
    filters: int = 64,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
) -> keras.Model:
    """Network that classifies each pixel of a tile; 105,914,850 parameters at 512 px.

    Args:
        input_shape: (S, S, 3), S a multiple of 16; the model takes (N, S, S, 3) float32, RGB in
            [0, 1]. The number of parameters depends on S.
        filters: a multiple of 32; width of the first convolution. The decoder's widths follow.
        width: features of a token, divisible by ``heads``.
        depth: number of transformer blocks.
        heads: number of heads of each block.
    Returns:
        A model with the output ``output_0_segmentation``, (N, S, S, num_classes) float32 softmax.
    Source: Chen et al. 2021 (TransUNet), the variant R50-ViT-B/16.
    """
    side = input_shape[0] // LARGEST_STRIDE
    if input_shape[0] % LARGEST_STRIDE or input_shape[0] != input_shape[1]:
        raise ValueError(f"a side of {input_shape[0]} px is not divisible by {LARGEST_STRIDE}")
    if filters % GROUPS:
        raise ValueError(f"filters {filters} is not divisible by {GROUPS}")
    tile = keras.Input(input_shape, name="patch")
    x = layers.Rescaling(2.0, offset=(-1.0, -1.0, -1.0), name="to_minus_one_one")(tile)
    skips, x = _residual_network(x, filters)

    x = layers.Conv2D(width, 1, name="tokens_conv")(x)
    x = layers.Reshape((side * side, width), name="tokens")(x)
    x = PositionEmbedding(name="positions")(x)
    x = layers.Dropout(DROPOUT, name="positions_dropout")(x)
    for number in range(depth):
        x = transformer_block(x, heads=heads, dropout=DROPOUT, name=f"transformer_{number}")
    x = layers.LayerNormalization(epsilon=1e-6, name="tokens_norm")(x)
    x = layers.Reshape((side, side, width), name="tokens_map")(x)

    x = conv_bn_relu(x, 8 * filters, use_bias=False, momentum=MOMENTUM, name="bottleneck")
    widths = (filters // 4, filters, 2 * filters, 4 * filters)
    for level, skip in reversed(list(enumerate([None, *skips]))):
        name = f"decoder_{level}"
        x = upsample_bilinear(x, name=f"{name}_up")
        if skip is not None:
            x = layers.Concatenate(name=f"{name}_concat")([x, skip])
        x = conv_block(x, widths[level], use_bias=False, momentum=MOMENTUM, name=name)
    return keras.Model(tile, segmentation_head(x, num_classes, size=3), name="trans_unet")


def _residual_network(x: Any, filters: int) -> tuple[list[Any], Any]:
    """Features at the strides 2, 4 and 8, and those at 16."""
    x = _conv_gn(x, filters, size=7, strides=2, name="root")
    x = layers.ReLU(name="root_relu")(x)
    skips = [x]
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="root_pool")(x)
    for stage, repeats in enumerate(BLOCKS):
        for number in range(repeats):
            strides = 2 if stage and not number else 1
            name = f"stage_{stage}_block_{number}"
            x = _bottleneck(x, filters * 2**stage, strides=strides, name=name)
        skips.append(x)
    *finer, deepest = skips
    return finer, deepest


def _bottleneck(x: Any, width: int, *, strides: int, name: str) -> Any:
    """(N, h, w, F) -> (N, h / strides, w / strides, 4 * width): 1x1, 3x3, 1x1, sum, ReLU."""
    shortcut = x
    if strides > 1 or x.shape[-1] != 4 * width:
        shortcut = StandardisedConv2D(
            4 * width, 1, strides=strides, use_bias=False, name=f"{name}_shortcut_conv"
        )(x)
        shortcut = layers.GroupNormalization(4 * width, epsilon=1e-5, name=f"{name}_shortcut_gn")(
            shortcut
        )
    x = layers.ReLU(name=f"{name}_0_relu")(_conv_gn(x, width, size=1, name=f"{name}_0"))
    x = _conv_gn(x, width, size=3, strides=strides, name=f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = _conv_gn(x, 4 * width, size=1, name=f"{name}_2")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _conv_gn(x: Any, filters: int, *, size: int, strides: int = 1, name: str) -> Any:
    x = StandardisedConv2D(
        filters, size, strides=strides, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return layers.GroupNormalization(GROUPS, epsilon=1e-6, name=f"{name}_gn")(x)
