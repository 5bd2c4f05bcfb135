"""HI-Net: a feature pyramid with top-down attention and shortcuts to its finest level."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from h2g.models.attention import convolutional_attention
from h2g.models.backbones import feature_pyramid
from h2g.models.blocks import (
    MOMENTUM,
    conv_gn_relu,
    segmentation_head,
    upsample_bilinear,
    upsample_by_octaves,
)

ENCODER = "resnet101"
# Six groups, as in the paper, divide neither 256 nor 128 channels.
WIDTH, SHORTCUT_WIDTH, GROUPS = 240, 120, 6
# Levels of the pyramid, by the exponent of their stride.
LEVELS = (2, 3, 4, 5)


def hi_net(
    input_shape: tuple[int, int, int] = (512, 512, 3),
    num_classes: int = 2,
    *,
    encoder: str = ENCODER,
    attention: bool = True,
    shortcut: bool = True,
    dropout: float = 0.0,
) -> keras.Model:
    """Network that classifies each pixel of a tile; 46,198,531 parameters with all outputs.

    Args:
        input_shape: (S, S, 3), S a multiple of 32; the model takes (N, S, S, 3) float32, RGB in
            [0, 1].
        encoder: a name of BACKBONES.
        attention: whether features are weighted on their way to the finer level (TDA).
        shortcut: whether each level is upsampled to the finest at once. Without it, there are a
            convolution and an upsampling for every factor of 2.
        dropout: rate before the last convolution.
    Returns:
        A model with the output ``output_0_segmentation``, (N, S, S, num_classes) float32 softmax,
        and for training ``output_1_cells``, (N, S / 32, S / 32, num_classes).
    Source: HI-Net (2023), sections 3.2 to 3.4. The paper has no width, no attention kernel and no
        class head; 240 and 120 are the multiples of six next to the usual 256 and 128.
    """
    pyramid = feature_pyramid(encoder, input_shape)
    maps = dict(zip(LEVELS, pyramid.outputs[1:], strict=True))
    features: dict[int, Any] = {}
    for level in reversed(LEVELS):
        x = layers.Conv2D(WIDTH, 1, name=f"p{level}_lateral")(maps[level])
        if level < max(LEVELS):
            x = layers.Add(name=f"p{level}")([x, _top_down(features[level + 1], level, attention)])
        features[level] = x
    finest = [_to_stride_4(features[level], level, shortcut) for level in LEVELS]
    x = layers.Add(name="sum")(finest)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    cells = layers.Conv2D(
        num_classes, 1, activation="softmax", dtype="float32", name="output_1_cells"
    )(features[max(LEVELS)])
    outputs = [segmentation_head(x, num_classes, upsampling=4), cells]
    return keras.Model(pyramid.input, outputs, name="hi_net")


def _top_down(x: Any, level: int, attention: bool) -> Any:
    """Features of the coarser level at twice their sides (TDA, or upsampling alone)."""
    if attention:
        x = conv_gn_relu(x, WIDTH, groups=GROUPS, name=f"p{level}_down")
        x = convolutional_attention(x, momentum=MOMENTUM, name=f"p{level}_attention")
    return layers.UpSampling2D(interpolation="nearest", name=f"p{level}_up")(x)


def _to_stride_4(x: Any, level: int, shortcut: bool) -> Any:
    """(N, h, w, WIDTH) at stride 2 ** level -> (N, S / 4, S / 4, SHORTCUT_WIDTH)."""
    name, doublings = f"p{level}_out", level - min(LEVELS)
    if not shortcut:
        return upsample_by_octaves(x, SHORTCUT_WIDTH, doublings=doublings, groups=GROUPS, name=name)
    x = conv_gn_relu(x, SHORTCUT_WIDTH, groups=GROUPS, name=f"{name}_0")
    factor = 2**doublings
    return upsample_bilinear(x, (factor, factor), name=f"{name}_up") if doublings else x
