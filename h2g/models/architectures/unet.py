"""U-Net that refines a heatmap with the help of the low-resolution slide."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from h2g.models.blocks import (
    check_sides,
    refinement_inputs,
    segmentation_head,
    unet_decoder,
    unet_encoder,
)

FILTERS = (8, 16, 32, 64, 128, 128, 256, 256, 512)
SPATIAL_DROPOUT = 0.1


def unet(
    image_shape: tuple[int, int, int] = (1024, 1024, 3),
    heatmap_shape: tuple[int, int, int] = (1024, 1024, 1),
    num_classes: int = 2,
    *,
    filters: Sequence[int] = FILTERS,
    batch_norm_momentum: float = 0.99,
    inputs: str = "both",
) -> keras.Model:
    """Segmentation network for slides; 11,572,562 parameters with two classes.

    With the image alone (the paper's UNet-LR) it has 11,572,490.

    Args:
        image_shape: (P, P, 3), RGB in [0, 1]; P is divisible by 2 ** (len(filters) - 1).
        heatmap_shape: (P, P, C - 1), probability of each class but background.
        filters: width of each level, the finest first; the last is the bottleneck.
        inputs: ``both``, ``heatmap`` or ``image``; see refinement_inputs.
    Returns:
        A model of [image, heatmap] with the output ``output_0_segmentation``,
        (N, P, P, num_classes) float32 softmax.
    Source: Ronneberger et al. 2015 as in Pedersen et al. 2022 (H2G-Net), section 3.2. Batch norm
        replaces the published network's batch renormalisation (the same function in inference).
    """
    check_sides(image_shape, heatmap_shape, poolings=len(filters) - 1)
    tensors, x = refinement_inputs(image_shape, heatmap_shape, inputs)
    skips, x = unet_encoder(x, filters, momentum=batch_norm_momentum)
    x = unet_decoder(
        x,
        skips,
        filters[:-1],
        momentum=batch_norm_momentum,
        spatial_dropout=SPATIAL_DROPOUT,
    )
    return keras.Model(tensors, segmentation_head(x, num_classes), name="unet")
