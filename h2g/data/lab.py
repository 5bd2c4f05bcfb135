"""Shifts in CIE Lab as stains differ, in the input pipeline.

TensorFlow has no Lab of its own. OpenCV converts outside the graph; tensorflow-io converts in the
graph, slower on a CPU (tools/bench_tensorflow_io.py measures both). tensorflow-io's conversions are
plain TensorFlow and work with every version; its native library, which warns on loading where it
does not fit, is not needed for them.
"""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import tensorflow as tf


def shift_lab(images: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Adds to L, a and b with OpenCV; what leaves RGB is clipped.

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
    """As :func:`shift_lab`, with tensorflow-io (extra ``io``)."""
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
