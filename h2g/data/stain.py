"""The stain matrix of a slide (haematoxylin and eosin), and augmentation of its stains.

Optical density is -log10 of the transmitted share of light. Stains add up in optical density, each
along its own direction in RGB. Sources: Macenko et al. 2009 (the matrix); StainTools, which H2G-Net
uses (the augmentation: concentrations times U(1 - sigma1, 1 + sigma1) plus U(-sigma2, sigma2), in
natural logarithms).

torchstain is not used, because it estimates the matrix of each image that it changes. Here, a
slide's matrix is estimated once, even with little tissue, and a batch of patches from several
slides is changed in the graph.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from h2g.data.augmentation import random_numbers
from h2g.data.random_streams import RandomStream

# Rows haematoxylin and eosin (Ruifrok and Johnston 2001): for slides without an estimate.
DEFAULT_STAIN_MATRIX = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]], np.float32)
DEFAULT_STAIN_MATRIX /= np.linalg.norm(DEFAULT_STAIN_MATRIX, axis=1, keepdims=True)

# Macenko's beta: a pixel with less optical density (Euclidean norm) than this is background.
BACKGROUND_DENSITY = 0.15
ANGLE_PERCENTILES = (1, 99)
ENOUGH_PIXELS = 1000
MOST_PIXELS = 500_000
# Two stains closer than this count as one, since separating them would amplify noise.
SMALLEST_ANGLE = math.radians(5)


def macenko_stain_matrix(rgb: np.ndarray) -> np.ndarray:
    """Directions of haematoxylin and eosin in optical density.

    Tissue of fewer than ENOUGH_PIXELS pixels, or of one colour, gives DEFAULT_STAIN_MATRIX.

    Args:
        rgb: (h, w, 3) uint8, a slide at low resolution.
    Returns:
        (2, 3) float32, unit rows, haematoxylin first (it absorbs more red).
    Source: Macenko et al. 2009, ISBI, section 2.
    """
    pixels = rgb.reshape(-1, 3)
    # Every k-th pixel: half a million pixels give nearly the same percentiles as all of them.
    pixels = pixels[:: max(1, len(pixels) // MOST_PIXELS)]
    density = -np.log10(np.maximum(pixels, 1) / 255.0)
    density = density[np.linalg.norm(density, axis=1) > BACKGROUND_DENSITY]
    if len(density) < ENOUGH_PIXELS:
        return DEFAULT_STAIN_MATRIX
    # The two main directions of the point cloud, from white, span the plane of both stains.
    _, directions = np.linalg.eigh(density.T @ density)
    plane = directions[:, :0:-1]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
    x, y = (density @ plane).T
    low, high = np.percentile(np.arctan2(y, x), ANGLE_PERCENTILES)
    if high - low < SMALLEST_ANGLE:
        return DEFAULT_STAIN_MATRIX
    stains = np.array([[np.cos(angle), np.sin(angle)] for angle in (low, high)]) @ plane.T
    stains = stains[np.argsort(-stains[:, 0])]
    return stains.astype(np.float32)


def augment_stains(
    images: tf.Tensor,
    stain_matrices: tf.Tensor,
    batch: tf.Tensor,
    *,
    seed: int,
    sigma: tuple[float, float],
    probability: float,
) -> tf.Tensor:
    """Makes each sample's stains randomly stronger or weaker.

    Args:
        images: (B, P, P, 3) float32 RGB in [0, 1].
        stain_matrices: (B, 2, 3), one per sample, from its slide.
        batch: number of the batch.
    """
    size = tf.shape(images)[0]
    numbers = random_numbers(seed, RandomStream.STAIN_SHIFT, batch, [size, 5])
    chosen = tf.cast(numbers[:, :1] < probability, tf.float32)
    shares = 2 * numbers[:, 1:] - 1
    return shift_stains(
        images,
        stain_matrices,
        alpha=1 + sigma[0] * shares[:, :2] * chosen,
        beta=sigma[1] * shares[:, 2:] * chosen,
    )


def shift_stains(
    images: tf.Tensor, stain_matrices: tf.Tensor, *, alpha: tf.Tensor, beta: tf.Tensor
) -> tf.Tensor:
    """Multiplies concentrations by ``alpha`` and adds ``beta``, each (B, 2).

    Background does not change, nor does the part of a pixel that the two stains do not explain.
    """
    # With density d, stain matrix M and concentrations c = d pinv(M), the density changes by
    # (alpha c + beta - c) M = d D + beta M, where D = pinv(M) diag(alpha - 1) M.
    inverse = tf.linalg.pinv(stain_matrices)
    return _add_density(
        images,
        change=tf.matmul(inverse * (alpha - 1)[:, None, :], stain_matrices),
        shift=tf.matmul(beta[:, None, :], stain_matrices),
    )


@tf.function(jit_compile=True)
def _add_density(images: tf.Tensor, *, change: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Adds d ``change`` + ``shift``, (B, 3, 3) and (B, 1, 3), to the density d of tissue."""
    density = -tf.math.log(tf.maximum(images, 1 / 255))
    # Sums of three terms, written out, because a matrix product would break up the fused loop.
    added = [
        sum(density[..., k] * change[:, k, c, None, None] for k in range(3)) + shift[:, :, c, None]
        for c in range(3)
    ]
    length2 = tf.reduce_sum(density**2, -1, keepdims=True)
    changed = tf.clip_by_value(images * tf.exp(-tf.stack(added, axis=-1)), 0, 1)
    return tf.where(length2 > (BACKGROUND_DENSITY * math.log(10)) ** 2, changed, images)
