"""Augmentation in the graph, one batch at a time, with random choices for each sample.

All random numbers are stateless functions of a seed and the batch's number. A batch that is made
again, by a resumed training or another thread, is therefore augmented in the same way. XLA compiles
the arithmetic and turns some forty passes over the pixels into two. Measured for a patch of 256 px:
0.3 instead of 3.4 ms of CPU time. Reading the patch takes about 1.3 ms.
"""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import tensorflow as tf

from h2g.data.random_streams import RandomStream
from h2g.recipes.patch import PatchAugmentation
from h2g.recipes.refinement import RefinementAugmentation


def random_numbers(seed: int, stream: RandomStream, batch: tf.Tensor, shape: list) -> tf.Tensor:
    """Random float32 in [0, 1), equal on every device for equal seed, stream and batch number."""
    key = tf.stack([tf.constant(seed * 16 + stream, tf.int64), tf.cast(batch, tf.int64)])
    return tf.random.stateless_uniform(shape, key, alg="philox")


def augment_patches(
    pixels: tf.Tensor, batch: tf.Tensor, *, seed: int, settings: PatchAugmentation
) -> tf.Tensor:
    """Applies flips, 90-degree rotations, shifts of hue and saturation, brightness and Lab shifts.

    Args:
        pixels: (B, S, S, 3) uint8 RGB.
        batch: number of the batch.
    Returns:
        (B, S, S, 3) float32 in [0, 1].
    """
    numbers = _patch_numbers(batch, tf.shape(pixels)[0], seed)
    flips, (turned, turn, coloured, hue, saturation, lit, light) = numbers[:2], numbers[2:]
    moves = _moves(flips, turned, turn, flip=settings.flip, rotate=settings.rotate)
    shifted = tf.cast(coloured < settings.colour, tf.float32) / 255
    low, high = settings.brightness_range
    brightness = tf.where(lit < settings.brightness, low + (high - low) * light, 1.0)
    if settings.flip or settings.rotate:
        pixels = move(pixels, *moves)
    if settings.colour:
        images = shift_colours(
            pixels,
            hue=(2 * hue - 1) * settings.hue_shift * shifted,
            saturation=(2 * saturation - 1) * settings.saturation_shift * shifted,
            brightness=brightness,
        )
    else:
        images = shift_brightness(pixels, brightness)
    return _shift_stain(images, batch, seed=seed, settings=settings) if settings.lab else images


def move_masks(
    masks: tf.Tensor, batch: tf.Tensor, *, seed: int, settings: PatchAugmentation
) -> tf.Tensor:
    """Flips and rotates (B, S, S) labels just as ``augment_patches`` does with their patches."""
    numbers = _patch_numbers(batch, tf.shape(masks)[0], seed)
    moves = _moves(numbers[:2], *numbers[2:4], flip=settings.flip, rotate=settings.rotate)
    return move(masks[..., None], *moves)[..., 0]


def _patch_numbers(batch: tf.Tensor, size: tf.Tensor, seed: int) -> list[tf.Tensor]:
    """Nine (B,) random numbers for each patch."""
    return tf.unstack(random_numbers(seed, RandomStream.PATCH_AUGMENTATION, batch, [9, size]))


def _shift_stain(
    images: tf.Tensor, batch: tf.Tensor, *, seed: int, settings: PatchAugmentation
) -> tf.Tensor:
    numbers = random_numbers(seed, RandomStream.LAB_SHIFT, batch, [tf.shape(images)[0], 4])
    chosen = tf.cast(numbers[:, :1] < settings.lab, tf.float32)
    shift = chosen * (2 * numbers[:, 1:] - 1) * tf.constant(settings.lab_shift)
    shift_function = shift_lab_in_graph if settings.lab_with == "tensorflow-io" else shift_lab
    return shift_function(images, shift)


def move_samples(
    images: tuple[tf.Tensor, ...],
    batch: tf.Tensor,
    *,
    seed: int,
    settings: RefinementAugmentation,
) -> tuple[tf.Tensor, ...]:
    """Applies the same flips and 90-degree rotations to all ``images``, each (B, P, P, C)."""
    if not (settings.flip or settings.rotate):
        return images
    size = tf.shape(images[0])[0]
    numbers = tf.unstack(random_numbers(seed, RandomStream.FIELD_MOVES, batch, [4, size]))
    moves = _moves(numbers[:2], *numbers[2:], flip=settings.flip, rotate=settings.rotate)
    return tuple(move(image, *moves) for image in images)


def random_zoom(
    batch: tf.Tensor, size: tf.Tensor, *, seed: int, settings: RefinementAugmentation
) -> tf.Tensor:
    """Zoom factors, (B,) float32; 1 for samples that are not zoomed."""
    chosen, share = tf.unstack(random_numbers(seed, RandomStream.FIELD_ZOOM, batch, [2, size]))
    low, high = settings.zoom_range
    return tf.where(chosen < settings.zoom, low + (high - low) * share, 1.0)


@tf.function(jit_compile=True)
def move(
    images: tf.Tensor, transpose: tf.Tensor, vertical: tf.Tensor, horizontal: tf.Tensor
) -> tf.Tensor:
    """Transposes, then flips vertically, then horizontally, the samples with a set (B,) flag.

    Args:
        images: (B, S, S, C), any type.
    """
    transpose, vertical, horizontal = (
        flag[:, None, None, None] for flag in (transpose, vertical, horizontal)
    )
    images = tf.where(transpose, tf.transpose(images, [0, 2, 1, 3]), images)
    images = tf.where(vertical, tf.reverse(images, [1]), images)
    return tf.where(horizontal, tf.reverse(images, [2]), images)


@tf.function(jit_compile=True)
def shift_colours(
    pixels: tf.Tensor, *, hue: tf.Tensor, saturation: tf.Tensor, brightness: tf.Tensor
) -> tf.Tensor:
    """Adds to hue and saturation in HSV, multiplies by the brightness and clips.

    A closed form replaces the conversion to HSV and back. V is the largest channel, c its distance
    to the smallest, and d the distance on the hue circle, in sextants, to the channel's own hue
    (0, 2, 4). A channel is then V - c clip(d - 1, 0, 1). Grey has no hue and stays grey.

    Args:
        pixels: (B, S, S, 3) uint8 RGB.
        hue: (B,) in turns.
        saturation: (B,), on the scale [0, 1].
        brightness: (B,) factors.
    Returns:
        (B, S, S, 3) float32 in [0, 1].
    """
    hue, saturation, brightness = (x[:, None, None] for x in (hue, saturation, brightness))
    red, green, blue = tf.unstack(tf.cast(pixels, tf.float32), axis=-1)
    value = tf.maximum(red, tf.maximum(green, blue))
    chroma = value - tf.minimum(red, tf.minimum(green, blue))
    scale = 1 / tf.maximum(chroma, 1)
    sextant = tf.where(
        value <= red,
        (green - blue) * scale,
        tf.where(value <= green, (blue - red) * scale + 2, (red - green) * scale + 4),
    )
    turned = sextant / 6 + hue
    sextant = 6 * (turned - tf.floor(turned))
    shifted = tf.clip_by_value(chroma + value * saturation, 0, value)
    chroma = tf.where(chroma > 0, shifted, 0)
    channels = []
    for own in (0.0, 2.0, 4.0):
        distance = tf.abs(sextant - own)
        distance = tf.minimum(distance, 6 - distance)
        channels.append(value - chroma * tf.clip_by_value(distance - 1, 0, 1))
    bright = tf.stack(channels, axis=-1) * (brightness / 255)[..., None]
    return tf.clip_by_value(bright, 0, 1)


@tf.function(jit_compile=True)
def shift_brightness(pixels: tf.Tensor, brightness: tf.Tensor) -> tf.Tensor:
    """Multiplies (B, S, S, 3) uint8 by (B,) factors; float32 in [0, 1]."""
    scaled = tf.cast(pixels, tf.float32) * (brightness / 255)[:, None, None, None]
    return tf.clip_by_value(scaled, 0, 1)


@tf.function
def zoom(image: tf.Tensor, factor: tf.Tensor, *, fill: float, nearest: bool = False) -> tf.Tensor:
    """Enlarges (factor > 1) or reduces each sample about its centre without changing its size.

    Args:
        image: (B, P, P, C).
        factor: (B,).
        fill: value beyond the image's edges.
        nearest: nearest-neighbour sampling, for labels; otherwise bilinear.
    """
    height, width = image.shape[1:3]
    inverse, zero = 1 / factor, tf.zeros_like(factor)
    x = (width - 1) / 2 * (1 - inverse)
    y = (height - 1) / 2 * (1 - inverse)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image,
        transforms=tf.stack([inverse, zero, x, zero, inverse, y, zero, zero], axis=1),
        output_shape=[height, width],
        interpolation="NEAREST" if nearest else "BILINEAR",
        fill_mode="CONSTANT",
        fill_value=fill,
    )


def _moves(
    flips: list[tf.Tensor], turned: tf.Tensor, turn: tf.Tensor, *, flip: float, rotate: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Flags for ``move`` from uniform random numbers.

    Each of the two flips has probability ``flip``. A rotation by 90, 180 or 270 degrees follows
    with probability ``rotate``.
    """
    mirror, upside_down = flips[0] < flip, flips[1] < flip
    quarters = tf.where(turned < rotate, 1 + tf.cast(turn * 3, tf.int32), 0)
    transpose = quarters % 2 == 1
    # A rotation by 90 degrees is a transposition followed by one flip. Moving the two flips behind
    # a transposition swaps them.
    vertical = tf.where(transpose, mirror, upside_down) ^ ((quarters == 1) | (quarters == 2))
    horizontal = tf.where(transpose, upside_down, mirror) ^ (quarters >= 2)
    return transpose, vertical, horizontal


def shift_lab(images: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Adds to L, a and b with OpenCV, and clips the result to RGB.

    Args:
        images: (B, S, S, 3) float32 RGB in [0, 1].
        shift: (B, 3) float32 in units of Lab, where L goes from 0 to 100.
    Returns:
        (B, S, S, 3) float32 in [0, 1].
    """
    shifted = tf.numpy_function(_shift_with_opencv, [images, shift], tf.float32, stateful=False)
    return tf.ensure_shape(shifted, images.shape)


@tf.function(jit_compile=True)
def shift_lab_in_graph(images: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """The same as :func:`shift_lab`, but with tensorflow-io (extra ``io``)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow_io.python.experimental import color_ops
    lab = color_ops.rgb_to_lab(images) + shift[:, None, None]
    return tf.clip_by_value(color_ops.lab_to_rgb(lab), 0, 1)


def _shift_with_opencv(images: np.ndarray, shift: np.ndarray) -> np.ndarray:
    shifted = np.empty_like(images)
    for image, by, target in zip(images, shift, shifted, strict=True):
        cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2LAB) + by, cv2.COLOR_LAB2RGB, dst=target)
    return np.clip(shifted, 0, 1, out=shifted)
