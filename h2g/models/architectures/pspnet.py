"""PSPNet: a dilated backbone, and pooling of its features over four grids."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from h2g.models.backbones import feature_pyramid
from h2g.models.blocks import MOMENTUM, conv_bn_relu, segmentation_head

ENCODER = "resnet101"
STRIDE = 8
BINS = (1, 2, 3, 6)
WIDTH, AUXILIARY_WIDTH = 512, 256


def pspnet(
    input_shape: tuple[int, int, int] = (512, 512, 3),
    num_classes: int = 2,
    *,
    encoder: str = ENCODER,
    dropout: float = 0.1,
) -> keras.Model:
    """Network that classifies each pixel of a tile; 68,098,948 parameters with all outputs.

    Args:
        input_shape: (S, S, 3), S a multiple of 32; the model takes (N, S, S, 3) float32, RGB in
            [0, 1].
        encoder: a name of BACKBONES.
        dropout: rate before the last convolution.
    Returns:
        A model with the output ``output_0_segmentation``, (N, S, S, num_classes) float32 softmax,
        and for training ``output_1_segmentation`` of the same shape, from the features of the
        fourth stage.
    Source: Zhao et al. 2017, sections 3.2 and 3.3.
    """
    pyramid = feature_pyramid(encoder, input_shape, output_stride=STRIDE)
    *_, fourth, features = pyramid.outputs
    x = layers.Concatenate(name="pool_concat")(
        [features, *(_pooled(features, bins) for bins in BINS)]
    )
    x = conv_bn_relu(x, WIDTH, use_bias=False, momentum=MOMENTUM, name="head")
    x = layers.Dropout(dropout, name="dropout")(x)
    auxiliary = conv_bn_relu(
        fourth, AUXILIARY_WIDTH, use_bias=False, momentum=MOMENTUM, name="auxiliary"
    )
    outputs = [
        segmentation_head(x, num_classes, upsampling=STRIDE),
        segmentation_head(auxiliary, num_classes, number=1, upsampling=STRIDE),
    ]
    return keras.Model(pyramid.input, outputs, name="pspnet")


@keras.saving.register_keras_serializable(package="h2g")
class GridMeans(layers.Layer):
    """Means over a grid of bins x bins, (N, h, w, F) -> (N, bins, bins, F); h and w are fixed.

    ``keras.layers.AdaptiveAveragePooling2D`` computes the same, but not in a graph with a single
    bin (Keras 3.15).
    """

    def __init__(self, bins: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, features: Any) -> Any:
        _, height, width, channels = features.shape
        rows, cols = (
            ops.convert_to_tensor(bin_weights(side, self.bins), self.compute_dtype)
            for side in (height, width)
        )
        x = ops.matmul(rows, ops.reshape(features, (-1, height, width * channels)))
        return ops.matmul(cols, ops.reshape(x, (-1, self.bins, width, channels)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}


def bin_weights(side: int, bins: int) -> np.ndarray:
    """(bins, side) float32: the weight of each place in the mean of each bin.

    Bin i reaches from floor(i * side / bins) to ceil((i + 1) * side / bins).
    """
    places = np.arange(side)
    starts = np.arange(bins) * side // bins
    ends = -(-(np.arange(bins) + 1) * side // bins)
    inside = (places >= starts[:, np.newaxis]) & (places < ends[:, np.newaxis])
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


def _pooled(features: Any, bins: int) -> Any:
    """Means over a grid of bins x bins, convolved and enlarged; (N, h, w, WIDTH)."""
    name = f"pool_{bins}"
    x = GridMeans(bins, name=name)(features)
    x = conv_bn_relu(x, WIDTH, size=1, use_bias=False, momentum=MOMENTUM, name=name)
    # float32 also under mixed precision, because XLA lacks the gradient in half precision.
    return layers.Resizing(*features.shape[1:3], dtype="float32", name=f"{name}_up")(x)
