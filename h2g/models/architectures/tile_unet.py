"""Plain U-Net for the segmentation of tiles."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from h2g.models.blocks import (
    MOMENTUM,
    check_sides,
    segmentation_head,
    unet_decoder,
    unet_encoder,
)

FILTERS = (16, 32, 64, 128)


def tile_unet(
    input_shape: tuple[int, int, int] = (256, 256, 3),
    num_classes: int = 2,
    *,
    filters: Sequence[int] = FILTERS,
) -> keras.Model:
    """Network that classifies each pixel of a tile; small enough to train on a CPU.

    Args:
        input_shape: (S, S, 3), S divisible by 2 ** (len(filters) - 1); the model takes
            (N, S, S, 3) float32, RGB in [0, 1].
        filters: width of each level, the finest first; the last is the bottleneck.
    Returns:
        A model with the output ``output_0_segmentation``, (N, S, S, num_classes) float32 softmax.
    Source: Ronneberger et al. 2015, with padding, batch norm and a quarter of the widths.
    """
    check_sides(input_shape, poolings=len(filters) - 1, setting="size_px")
    tile = keras.Input(input_shape, name="patch")
    skips, x = unet_encoder(tile, filters, momentum=MOMENTUM)
    x = unet_decoder(x, skips, filters[:-1], momentum=MOMENTUM)
    return keras.Model(tile, segmentation_head(x, num_classes), name="tile_unet")
