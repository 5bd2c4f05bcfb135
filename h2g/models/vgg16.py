"""VGG16 as a fixed extractor of features, for clustering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

# The last layer of the backbone.
FEATURES = "block5_pool"
# Of red, green and blue over ImageNet: what the weights were trained without.
MEANS = (123.68, 116.779, 103.939)


def vgg16(input_shape: tuple[int, int, int] = (256, 256, 3)) -> keras.Model:
    """Features of patches; 14,714,688 parameters.

    Args:
        input_shape: (S, S, 3) with S >= 32; the model takes (N, S, S, 3) float32, RGB in [0, 1].
    Returns:
        A model from patches to (N, 512) float32: the last pooling's maps, averaged over the patch.
    Source: Simonyan and Zisserman 2015; as in Pedersen et al. 2022 (H2G-Net), section 2.3.
    """
    patch = keras.Input(input_shape, name="patch")
    centred = keras.layers.Rescaling(255.0, offset=[-mean for mean in MEANS], name="centred")(patch)
    # The ImageNet weights want blue first.
    bgr = keras.ops.take(centred, [2, 1, 0], axis=-1)
    backbone = keras.applications.VGG16(
        input_shape=input_shape, input_tensor=bgr, include_top=False, weights=None
    )
    features = keras.layers.GlobalAveragePooling2D(name="head_pool")(backbone.output)
    return keras.Model(patch, features, name="vgg16")


def imagenet_file(size_px: int, options: Mapping[str, Any]) -> str:
    """Name of the official weights file without top; there is one, for patches of any size."""
    return "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
