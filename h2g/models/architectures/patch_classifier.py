"""Patch classifiers: H2G-Net's head on any backbone."""

from __future__ import annotations

from typing import Any

import keras

from h2g.models.backbones import build_backbone
from h2g.models.blocks import classifier_head


def patch_classifier(
    backbone: str,
    input_shape: tuple[int, int, int] = (256, 256, 3),
    num_classes: int = 2,
    *,
    dropout: float = 0.5,
    **options: Any,
) -> keras.Model:
    """Network that classifies patches.

    Args:
        backbone: a name of BACKBONES.
        input_shape: (S, S, 3); the model takes (N, S, S, 3) float32, RGB in [0, 1].
        dropout: rate in the head.
        options: options of the backbone, such as ``alpha`` of mobilenet_v2 (1 in the paper).
    Returns:
        A model with the output ``output_0_probabilities``, (N, num_classes) float32 softmax.
    Source: the head is from Pedersen et al. 2022 (H2G-Net), section 2.4.
    """
    network = build_backbone(backbone, input_shape, **options)
    probabilities = classifier_head(network.output, num_classes, dropout=dropout)
    return keras.Model(network.input, probabilities, name=backbone)
