"""Haematoxylin and eosin apart: the stain matrix of a slide, and augmentation of its stains.

Optical density is -log10 of the share of light that passes; in it stains add up, each along its
own direction in RGB. Sources: Macenko et al. 2009 (the matrix); StainTools, which H2G-Net uses
(the augmentation: concentrations times U(1 - sigma1, 1 + sigma1) plus U(-sigma2, sigma2), in
natural logarithms).

Why our own: torchstain, whose back end may be TensorFlow, finds the matrix of the one image that it
changes. Here a slide's matrix is found once, also where there is little tissue, and a batch of
patches of several slides is changed in the graph.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from h2g.data.augmentation import random_numbers
from h2g.data.random_streams import RandomStream

# Rows haematoxylin and eosin (Ruifrok and Johnston 2001): for slides that cannot tell their own.
DEFAULT_STAIN_MATRIX = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]], np.float32)
DEFAULT_STAIN_MATRIX /= np.linalg.norm(DEFAULT_STAIN_MATRIX, axis=1, keepdims=True)

# Macenko's beta: a pixel whose optical density is shorter than this is background.
BACKGROUND_DENSITY = 0.15
ANGLE_PERCENTILES = (1, 99)
ENOUGH_PIXELS = 1000
MOST_PIXELS = 500_000
# Two stains nearer than this are one: telling them apart would blow up noise.
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
    # Every k-th pixel: percentiles of half a million say what those of a hundred million say.
    pixels = pixels[:: max(1, len(pixels) // MOST_PIXELS)]
    density = -np.log10(np.maximum(pixels, 1) / 255.0)
    density = density[np.linalg.norm(density, axis=1) > BACKGROUND_DENSITY]
    if len(density) < ENOUGH_PIXELS:
        return DEFAULT_STAIN_MATRIX
    # The two main directions of the cloud, seen from white: the plane that both stains span.
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
    """Each sample's stains stronger or weaker by chance.

    Args:
        images: (B, P, P, 3) float32 RGB in [0, 1].
        stain_matrices: (B, 2, 3), of the samples' slides.
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
    """Concentrations times ``alpha`` plus ``beta``, each (B, 2); background stays.

    What the two stains do not explain of a pixel stays as it is.
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
    # Sums of three, written out: a matrix product would leave the one fused loop.
    added = [
        sum(density[..., k] * change[:, k, c, None, None] for k in range(3)) + shift[:, :, c, None]
        for c in range(3)
    ]
    length2 = tf.reduce_sum(density**2, -1, keepdims=True)
    changed = tf.clip_by_value(images * tf.exp(-tf.stack(added, axis=-1)), 0, 1)
    return tf.where(length2 > (BACKGROUND_DENSITY * math.log(10)) ** 2, changed, images)
