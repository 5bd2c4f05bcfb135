"""AGU-Net: U-Net with attention gates, multi-scale input and deep supervision."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from h2g.models.attention import attention_gate
from h2g.models.blocks import (
    check_sides,
    conv_block,
    multi_scale_encoder,
    refinement_inputs,
    segmentation_head,
)

FILTERS = (8, 16, 32, 64, 128, 128, 256, 256)


def agu_net(
    image_shape: tuple[int, int, int] = (1024, 1024, 3),
    heatmap_shape: tuple[int, int, int] = (1024, 1024, 1),
    num_classes: int = 2,
    *,
    filters: Sequence[int] = FILTERS,
    batch_norm_momentum: float = 0.99,
    inputs: str = "both",
) -> keras.Model:
    """Segmentation network for slides; 7,668,537 parameters with two classes and all outputs.

    Args:
        image_shape: (P, P, 3), RGB in [0, 1]; P is divisible by 2 ** (len(filters) - 1).
        heatmap_shape: (P, P, C - 1), probability of each class but background.
        filters: width of each level, the finest first; the last is the bottleneck.
        inputs: ``both``, ``heatmap`` or ``image``; see refinement_inputs.
    Returns:
        A model of [image, heatmap] with one output per decoder level, the finest first:
        ``output_0_segmentation``, (N, P, P, num_classes) float32 softmax, and for training
        ``output_i_segmentation``, (N, P / 2^i, P / 2^i, num_classes).
    Source: Bouget et al. 2021 as in Pedersen et al. 2022 (H2G-Net), section 3.2. Batch norm
        replaces the published network's batch renormalisation (the same function in inference).
    """
    check_sides(image_shape, heatmap_shape, poolings=len(filters) - 1)
    momentum = batch_norm_momentum
    tensors, x = refinement_inputs(image_shape, heatmap_shape, inputs)
    skips, x = multi_scale_encoder(x, filters, momentum=momentum)
    outputs = []
    for depth in reversed(range(len(skips))):
        name, width = f"decoder_{depth}", filters[depth]
        x = layers.Conv2DTranspose(width, 3, strides=2, padding="same", name=f"{name}_up")(x)
        x = layers.BatchNormalization(momentum=momentum, name=f"{name}_up_bn")(x)
        x = layers.ReLU(name=f"{name}_up_relu")(x)
        skip = attention_gate(skips[depth], x, momentum=momentum, name=f"{name}_gate")
        x = layers.Concatenate(name=f"{name}_concat")([x, skip])
        x = conv_block(x, width, momentum=momentum, name=name)
        outputs.append(segmentation_head(x, num_classes, number=depth))
    return keras.Model(tensors, outputs[::-1], name="agu_net")
