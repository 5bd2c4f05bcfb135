"""FPN: the segmentation network of a feature pyramid."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from h2g.models.backbones import feature_pyramid
from h2g.models.blocks import segmentation_head, upsample_by_octaves

ENCODER = "resnet101"
WIDTH, HEAD_WIDTH, GROUPS = 256, 128, 32
# Levels of the pyramid, by the exponent of their stride.
LEVELS = (2, 3, 4, 5)


def fpn(
    input_shape: tuple[int, int, int] = (512, 512, 3),
    num_classes: int = 2,
    *,
    encoder: str = ENCODER,
) -> keras.Model:
    """Network that classifies each pixel of a tile; 47,626,626 parameters.

    Args:
        input_shape: (S, S, 3), S a multiple of 32; the model takes (N, S, S, 3) float32, RGB in
            [0, 1].
        encoder: a name of BACKBONES.
    Returns:
        A model with the output ``output_0_segmentation``, (N, S, S, num_classes) float32 softmax.
    Source: Kirillov et al. 2019 (Panoptic FPN), section 3.1 and figure 3.
    """
    pyramid = feature_pyramid(encoder, input_shape)
    maps = dict(zip(LEVELS, pyramid.outputs[1:], strict=True))
    summed: Any = None
    finest = []
    for level in reversed(LEVELS):
        x = layers.Conv2D(WIDTH, 1, name=f"p{level}_lateral")(maps[level])
        if summed is not None:
            coarser = layers.UpSampling2D(interpolation="nearest", name=f"p{level}_up")(summed)
            x = layers.Add(name=f"p{level}")([x, coarser])
        summed = x
        x = layers.Conv2D(WIDTH, 3, padding="same", name=f"p{level}_smooth")(x)
        finest.append(
            upsample_by_octaves(
                x,
                HEAD_WIDTH,
                doublings=level - min(LEVELS),
                groups=GROUPS,
                name=f"p{level}_out",
            )
        )
    x = layers.Add(name="sum")(finest)
    return keras.Model(pyramid.input, segmentation_head(x, num_classes, upsampling=4), name="fpn")
