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
    """Classes of pixels by Otsu's threshold, (N, P, P, 3) RGB in [0, 1] -> (N, P, P, 2) of 0 and 1.

    A pixel is tissue (class 1) if its 8-bit HSV saturation is above Otsu's threshold for its slide.
    Of equally good thresholds the lowest counts. Histogram counts are exact up to 16 million
    pixels.
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
    """Network that labels all tissue as tumour, without parameters or training.

    Args:
        image_shape: (P, P, 3), RGB in [0, 1].
        heatmap_shape, batch_norm_momentum: unused.
        inputs: ``image``.
    Returns:
        A model of [image] with the output ``output_0_segmentation``, (N, P, P, 2) float32.
    Source: Otsu 1979 as in Pedersen et al. 2022 (H2G-Net), section 3.2: Otsu's threshold of the
        HSV saturation of the slide at 1024 x 1024.
    """
    if inputs != "image":
        raise ValueError(f"inputs is '{inputs}', must be image: Otsu's method takes no heatmap")
    if num_classes != 2:
        raise ValueError("Otsu's method has exactly two classes, tissue and background")
    tensors, x = refinement_inputs(image_shape, heatmap_shape, inputs)
    mask = OtsuTissue(name="output_0_segmentation", dtype="float32")(x)
    return keras.Model(tensors, mask, name="otsu")


def _saturation(image: Any) -> Any:
    """HSV saturation after rounding pixels to 8 bits; (N, P, P) float32, integers of 0..255."""
    pixels = ops.floor(image * 255.0 + 0.5)
    brightest, darkest = ops.max(pixels, axis=-1), ops.min(pixels, axis=-1)
    return ops.floor(255.0 * (brightest - darkest) / ops.maximum(brightest, 1.0) + 0.5)


def _histogram(values: Any) -> Any:
    """Histogram of (N, P, P) integers of 0..255; (N, 256) counts.

    It is a product of two one-hot codes, of the upper and the lower four bits. All exporters and
    engines support its operations, but not a scatter.
    """
    flat = ops.reshape(values, (-1, values.shape[1] * values.shape[2]))
    upper = ops.floor(flat / NIBBLE)
    lower = flat - NIBBLE * upper
    digits = np.arange(NIBBLE, dtype=np.float32)
    codes = [ops.cast(ops.equal(part[..., None], digits), "float32") for part in (upper, lower)]
    counts = ops.matmul(ops.transpose(codes[0], (0, 2, 1)), codes[1])
    return ops.reshape(counts, (-1, LEVELS))


def _otsu_threshold(counts: Any) -> Any:
    """Otsu's threshold, with the most variance between classes; (N, 256) -> (N,) float32."""
    levels = np.arange(LEVELS, dtype=np.float32)
    up_to = np.triu(np.ones((LEVELS, LEVELS), np.float32))
    shares = counts / ops.sum(counts, axis=1, keepdims=True)
    below = ops.matmul(shares, up_to)
    moment = ops.matmul(shares * levels, up_to)
    total = moment[:, -1:]
    # If a class is empty, this product is 0, and so is the numerator.
    spread = ops.maximum(below * (1 - below), 1e-12)
    between = ops.square(total * below - moment) / spread
    # No argmax, because Keras builds it with bit operations that ONNX lacks.
    is_best = ops.equal(between, ops.max(between, axis=1, keepdims=True))
    return ops.min(ops.where(is_best, levels, float(LEVELS)), axis=1)
