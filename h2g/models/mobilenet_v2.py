"""MobileNetV2 patch classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from h2g.models.blocks import classifier_head

# The last layer of the backbone; what comes after it is the head.
FEATURES = "out_relu"
IMAGENET_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
IMAGENET_SIZES_PX = (96, 128, 160, 192, 224)


def mobilenet_v2(
    input_shape: tuple[int, int, int] = (256, 256, 3),
    num_classes: int = 2,
    *,
    alpha: float = 1.0,
    dropout: float = 0.5,
) -> keras.Model:
    """Class probabilities of patches; 2,386,686 parameters with two classes.

    Args:
        input_shape: (S, S, 3) with S >= 32; the model takes (N, S, S, 3) float32, RGB in [0, 1].
        alpha: width of the backbone; the paper's is 1.
        dropout: rate in the head.
    Returns:
        A model with the output ``output_0_probabilities``, (N, num_classes) float32 softmax.
    Source: Sandler et al. 2018 with the head of Pedersen et al. 2022 (H2G-Net), section 2.4.
    """
    patch = keras.Input(input_shape, name="patch")
    # The ImageNet weights were trained on [-1, 1].
    scaled = keras.layers.Rescaling(2.0, offset=-1.0, name="to_minus_one_one")(patch)
    backbone = keras.applications.MobileNetV2(
        input_shape=input_shape, input_tensor=scaled, alpha=alpha, include_top=False, weights=None
    )
    probabilities = classifier_head(backbone.output, num_classes, dropout=dropout)
    return keras.Model(patch, probabilities, name="mobilenet_v2")


def imagenet_file(size_px: int, options: Mapping[str, Any]) -> str:
    """Name of the official weights file without top, for patches of ``size_px``.

    Raises:
        ValueError: no weights were published for these options.
    """
    alpha = float(options.get("alpha", 1.0))
    if alpha not in IMAGENET_ALPHAS:
        published = ", ".join(map(str, IMAGENET_ALPHAS))
        raise ValueError(f"there are ImageNet weights for alpha {published}, not for {alpha}")
    size_px = size_px if size_px in IMAGENET_SIZES_PX else 224
    return f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size_px}_no_top.h5"
