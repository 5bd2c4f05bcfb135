"""U-Net with any backbone as encoder, for the segmentation of tiles."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from h2g.models.backbones import feature_pyramid
from h2g.models.blocks import MOMENTUM, segmentation_head, unet_decoder

ENCODER = "mobilenet_v2"
DECODER_FILTERS = (16, 32, 64, 128, 256)
DEPTHS = (4, 5)


def encoder_unet(
    input_shape: tuple[int, int, int] = (256, 256, 3),
    num_classes: int = 2,
    *,
    encoder: str = ENCODER,
    decoder_filters: Sequence[int] = DECODER_FILTERS,
) -> keras.Model:
    """Network that classifies each pixel of a tile.

    The backbone's maps at the finer strides are the skip connections. There is none at stride 1.

    Args:
        input_shape: (S, S, 3), S a multiple of 32; the model takes (N, S, S, 3) float32, RGB in
            [0, 1].
        encoder: a name of BACKBONES.
        decoder_filters: widths at strides 1, 2, 4, 8 and 16. With four widths the encoder ends at
            stride 16.
    Returns:
        A model with the output ``output_0_segmentation``, (N, S, S, num_classes) float32 softmax.
    Source: Ronneberger et al. 2015, with a classification network as encoder. The decoder is that
        of the package segmentation-models.
    """
    pyramid = feature_pyramid(encoder, input_shape)
    depth = len(decoder_filters)
    if depth not in DEPTHS:
        raise ValueError(f"decoder_filters needs 4 or 5 widths, not {depth}")
    *skips, deepest = pyramid.outputs[:depth]
    x = unet_decoder(deepest, [None, *skips], decoder_filters, use_bias=False, momentum=MOMENTUM)
    segmentation = segmentation_head(x, num_classes, size=3)
    return keras.Model(pyramid.input, segmentation, name="encoder_unet")
