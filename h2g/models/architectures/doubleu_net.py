"""DoubleU-Net: a second U-Net refines the output of the first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from h2g.models.attention import squeeze_excite
from h2g.models.blocks import (
    check_sides,
    conv_block,
    refinement_inputs,
    segmentation_head,
    spatial_pyramid,
    upsample_bilinear,
)

FILTERS = (8, 16, 32, 64, 128, 128, 256, 256)
ASPP_FILTERS = 32
SPATIAL_DROPOUT = 0.1


def doubleu_net(
    image_shape: tuple[int, int, int] = (1024, 1024, 3),
    heatmap_shape: tuple[int, int, int] = (1024, 1024, 1),
    num_classes: int = 2,
    *,
    filters: Sequence[int] = FILTERS,
    aspp_filters: int = ASPP_FILTERS,
    batch_norm_momentum: float = 0.99,
    inputs: str = "both",
) -> keras.Model:
    """Segmentation network for slides; 16,025,076 parameters with two classes.

    The second U-Net gets the input and the softmax of the first, concatenated. It also gets the
    skip connections of the first.

    Args:
        image_shape: (P, P, 3), RGB in [0, 1]; P is divisible by 2 ** len(filters).
        heatmap_shape: (P, P, C - 1), probability of each class but background.
        filters: width of each level, the finest first; the ASPP is below the last.
        aspp_filters: 32 gives the paper's parameter count, although its text says 42.
        inputs: ``both``, ``heatmap`` or ``image``; see refinement_inputs.
    Returns:
        A model of [image, heatmap] with two outputs, both (N, P, P, num_classes) float32 softmax:
        ``output_0_segmentation`` of the second U-Net, and for training ``output_1_segmentation``
        of the first.
    Source: Jha et al. 2020 as in Pedersen et al. 2022 (H2G-Net), section 3.2, with both encoders
        from random weights. Batch norm replaces the published network's batch renormalisation
        (the same function in inference).
    """
    check_sides(image_shape, heatmap_shape, poolings=len(filters))
    tensors, x = refinement_inputs(image_shape, heatmap_shape, inputs)
    u_net = partial(
        _u_net, filters=filters, aspp_filters=aspp_filters, momentum=batch_norm_momentum
    )
    features, skips = u_net(x, [], name="first")
    first = segmentation_head(features, num_classes, number=1)
    x = layers.Concatenate(name="second_input")([x, first])
    features, _ = u_net(x, skips, name="second")
    second = segmentation_head(features, num_classes)
    return keras.Model(tensors, [second, first], name="doubleu_net")


def _u_net(
    x: Any,
    earlier_skips: Sequence[Any],
    *,
    filters: Sequence[int],
    aspp_filters: int,
    momentum: float,
    name: str,
) -> tuple[Any, list[Any]]:
    """Features (N, P, P, filters[0]) of one of the two U-Nets, and its skip connections."""

    def block(x: Any, width: int, name: str) -> Any:
        x = conv_block(x, width, momentum=momentum, spatial_dropout=SPATIAL_DROPOUT, name=name)
        return squeeze_excite(x, name=f"{name}_se")

    skips = []
    for depth, width in enumerate(filters):
        x = block(x, width, f"{name}_encoder_{depth}")
        skips.append(x)
        x = layers.MaxPooling2D(name=f"{name}_encoder_{depth}_pool")(x)
    x = spatial_pyramid(
        x,
        aspp_filters,
        momentum=momentum,
        spatial_dropout=SPATIAL_DROPOUT,
        name=f"{name}_aspp",
    )
    for depth, width in reversed(list(enumerate(filters))):
        level = f"{name}_decoder_{depth}"
        x = upsample_bilinear(x, name=f"{level}_up")
        both = [each[depth] for each in (earlier_skips, skips) if each]
        x = layers.Concatenate(name=f"{level}_concat")([x, *both])
        x = block(x, width, level)
    return x, skips
