"""U-Net as published, for the segmentation of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from h2g.models.blocks import MOMENTUM, check_sides, segmentation_head

FILTERS = (64, 128, 256, 512, 1024)


def unet_2015(
    input_shape: tuple[int, int, int] = (512, 512, 3),
    num_classes: int = 2,
    *,
    filters: Sequence[int] = FILTERS,
    batch_norm: bool = False,
    separable: bool = False,
) -> keras.Model:
    """Network that classifies each pixel of a tile; 31,031,810 parameters.

    Args:
        input_shape: (S, S, 3), S divisible by 2 ** (len(filters) - 1); the model takes
            (N, S, S, 3) float32, RGB in [0, 1].
        filters: width of each level, the finest first; the last is the bottleneck.
        batch_norm: whether batch norm follows each convolution.
        separable: whether 3x3 convolutions are depthwise ones and 1x1 ones; 5,982,429 parameters.
    Returns:
        A model with the output ``output_0_segmentation``, (N, S, S, num_classes) float32 softmax.
    Source: Ronneberger et al. 2015, with padding, so that the output has the tile's size.
    """
    check_sides(input_shape, poolings=len(filters) - 1, setting="size_px")
    convolution = layers.SeparableConv2D if separable else layers.Conv2D

    def pair(x: Any, width: int, name: str) -> Any:
        for number in range(2):
            x = convolution(width, 3, padding="same", name=f"{name}_{number}_conv")(x)
            if batch_norm:
                x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_{number}_bn")(x)
            x = layers.ReLU(name=f"{name}_{number}_relu")(x)
        return x

    tile = keras.Input(input_shape, name="patch")
    x, skips = tile, []
    for depth, width in enumerate(filters[:-1]):
        x = pair(x, width, f"encoder_{depth}")
        skips.append(x)
        x = layers.MaxPooling2D(name=f"encoder_{depth}_pool")(x)
    x = pair(x, filters[-1], "bottleneck")
    for depth in reversed(range(len(skips))):
        name = f"decoder_{depth}"
        x = layers.Conv2DTranspose(filters[depth], 2, strides=2, name=f"{name}_up")(x)
        x = layers.Concatenate(name=f"{name}_concat")([skips[depth], x])
        x = pair(x, filters[depth], name)
    return keras.Model(tile, segmentation_head(x, num_classes), name="unet_2015")
