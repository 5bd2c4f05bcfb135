"""DAGU-Net: U-Net with dual attention, multi-scale input and deep supervision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from h2g.models.attention import ChannelAttention, PositionAttention
from h2g.models.blocks import (
    check_sides,
    conv_block,
    conv_bn_relu,
    multi_scale_encoder,
    refinement_inputs,
    segmentation_head,
)

FILTERS = (8, 16, 32, 64, 128, 128, 256, 256)
SPATIAL_DROPOUT = 0.5


def dagu_net(
    image_shape: tuple[int, int, int] = (1024, 1024, 3),
    heatmap_shape: tuple[int, int, int] = (1024, 1024, 1),
    num_classes: int = 2,
    *,
    filters: Sequence[int] = FILTERS,
    batch_norm_momentum: float = 0.99,
    inputs: str = "both",
) -> keras.Model:
    """Segmentation network for slides; 10,074,600 parameters with two classes and all outputs.

    The published network has 81,920 fewer. It creates the projections of its position attention
    again in every call, and neither trains nor saves them. Here they are layers.

    Args:
        image_shape: (P, P, 3), RGB in [0, 1]; P is divisible by 2 ** (len(filters) - 1).
        heatmap_shape: (P, P, C - 1), probability of each class but background.
        filters: width of each level, the finest first; the last is the bottleneck.
        inputs: ``both``, ``heatmap`` or ``image``; see refinement_inputs.
    Returns:
        A model of [image, heatmap] with one output per decoder level, the finest first:
        ``output_0_segmentation``, (N, P, P, num_classes) float32 softmax, and for training
        ``output_i_segmentation``, (N, P / 2^i, P / 2^i, num_classes).
    Source: Bouget et al. 2021 as in Pedersen et al. 2022 (H2G-Net), section 3.2.
    """
    check_sides(image_shape, heatmap_shape, poolings=len(filters) - 1)
    momentum = batch_norm_momentum
    tensors, x = refinement_inputs(image_shape, heatmap_shape, inputs)
    skips, x = multi_scale_encoder(x, filters, momentum=momentum)
    x = dual_attention(x, momentum=momentum)
    outputs = []
    for depth in reversed(range(len(skips))):
        name, width = f"decoder_{depth}", filters[depth]
        x = layers.Conv2DTranspose(width, 3, strides=2, padding="same", name=f"{name}_up")(x)
        x = layers.Concatenate(name=f"{name}_concat")([skips[depth], x])
        x = layers.BatchNormalization(momentum=momentum, name=f"{name}_concat_bn")(x)
        x = layers.ReLU(name=f"{name}_concat_relu")(x)
        x = conv_block(x, width, momentum=momentum, name=name)
        outputs.append(segmentation_head(x, num_classes, number=depth))
    return keras.Model(tensors, outputs[::-1], name="dagu_net")


def dual_attention(x: Any, *, momentum: float) -> Any:
    """Sum of position and channel attention; (N, h, w, F) in and out."""
    width = x.shape[-1]
    branches = []
    # float32 also under mixed precision, because sums over all positions may overflow float16.
    for attention in (
        PositionAttention(name="position", dtype="float32"),
        ChannelAttention(name="channel", dtype="float32"),
    ):
        branch = attention(x)
        branch = conv_bn_relu(
            branch,
            width,
            momentum=momentum,
            spatial_dropout=SPATIAL_DROPOUT,
            name=f"{attention.name}_0",
        )
        branches.append(
            layers.Conv2D(width, 3, padding="same", name=f"{attention.name}_1_conv")(branch)
        )
    x = layers.Add(name="attention_sum")(branches)
    x = layers.SpatialDropout2D(SPATIAL_DROPOUT, name="attention_dropout")(x)
    x = layers.Conv2D(width, 1, name="attention_conv")(x)
    return layers.BatchNormalization(momentum=momentum, name="attention_bn")(x)
