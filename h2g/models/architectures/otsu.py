"""Otsu's threshold on saturation as a network without weights: the paper's minimal baseline."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from h2g.models.blocks import refinement_inputs

LEVELS = 256
NIBBLE = 16


@keras.saving.register_keras_serializable(package="h2g")
class OtsuTissue(keras.layers.Layer):
    """(N, P, P, 3) RGB in [0, 1] -> (N, P, P, 2), 1 for the pixel's class and 0 for the other.

    A pixel is tissue, class 1, when its 8-bit HSV saturation is above the threshold that Otsu's
    method finds for its slide, the first of equally good ones; the sizes of the histogram's bins
    are integers, exact up to 16 million pixels.
    """

    def call(self, image: Any) -> Any:
        saturation = _saturation(image)
        threshold = _otsu_threshold(_histogram(saturation))
        tissue = ops.cast(saturation > threshold[:, None, None], "float32")
        return ops.stack([1 - tissue, tissue], axis=-1)


def otsu(
    image_shape: tuple[int, int, int] = (1024, 1024, 3),
    heatmap_shape: tuple[int, int, int] = (1024, 1024, 1),
    num_classes: int = 2,
    *,
    batch_norm_momentum: float = 0.99,
    inputs: str = "image",
) -> keras.Model:
    """All tissue as tumour; no parameters, and nothing to train.

    Args:
        image_shape: (P, P, 3), RGB in [0, 1].
        heatmap_shape, batch_norm_momentum: of no use here.
        inputs: ``image``.
    Returns:
        A model of [image] with the output ``output_0_segmentation``, (N, P, P, 2) float32.
    Source: Otsu 1979 as in Pedersen et al. 2022 (H2G-Net), section 3.2: the slide at 1024 x 1024,
        in HSV, its saturation cut by Otsu's method.
    """
    if inputs != "image":
        raise ValueError(f"inputs is '{inputs}', must be image: Otsu's method takes no heatmap")
    if num_classes != 2:
        raise ValueError("Otsu's method tells two classes apart, tissue and background")
    tensors, x = refinement_inputs(image_shape, heatmap_shape, inputs)
    mask = OtsuTissue(name="output_0_segmentation", dtype="float32")(x)
    return keras.Model(tensors, mask, name="otsu")


def _saturation(image: Any) -> Any:
    """(N, P, P) float32, whole numbers of 0..255, from pixels that are rounded to 8 bits first."""
    pixels = ops.floor(image * 255.0 + 0.5)
    brightest, darkest = ops.max(pixels, axis=-1), ops.min(pixels, axis=-1)
    return ops.floor(255.0 * (brightest - darkest) / ops.maximum(brightest, 1.0) + 0.5)


def _histogram(values: Any) -> Any:
    """(N, P, P) whole numbers of 0..255 -> (N, 256) counts.

    A product of two one-hot codes, of the upper and the lower four bits: all exporters and engines
    know its parts, which they do not of a scatter.
    """
    flat = ops.reshape(values, (-1, values.shape[1] * values.shape[2]))
    upper = ops.floor(flat / NIBBLE)
    lower = flat - NIBBLE * upper
    digits = np.arange(NIBBLE, dtype=np.float32)
    codes = [ops.cast(ops.equal(part[..., None], digits), "float32") for part in (upper, lower)]
    counts = ops.matmul(ops.transpose(codes[0], (0, 2, 1)), codes[1])
    return ops.reshape(counts, (-1, LEVELS))


def _otsu_threshold(counts: Any) -> Any:
    """(N, 256) -> (N,) float32, the level that parts the most variance between two classes."""
    levels = np.arange(LEVELS, dtype=np.float32)
    up_to = np.triu(np.ones((LEVELS, LEVELS), np.float32))
    shares = counts / ops.sum(counts, axis=1, keepdims=True)
    below = ops.matmul(shares, up_to)
    moment = ops.matmul(shares * levels, up_to)
    total = moment[:, -1:]
    # One class is empty where this is 0, and then so is the numerator.
    spread = ops.maximum(below * (1 - below), 1e-12)
    between = ops.square(total * below - moment) / spread
    # Not argmax, which Keras builds from bits that ONNX has no operator for.
    is_best = ops.equal(between, ops.max(between, axis=1, keepdims=True))
    return ops.min(ops.where(is_best, levels, float(LEVELS)), axis=1)
