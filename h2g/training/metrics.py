"""Metrics that training prints; evaluation has its own, on labels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="h2g")
def slide_dice(y_true: Any, y_pred: Any) -> Any:
    """Dice of every slide: 2 TP / (true + predicted), the mean over tumour classes.

    A pixel has a class when its probability is above 0.5. Class neither there nor predicted: 1.
    Keras averages over slides (macro mean).

    Args:
        y_true: (N, height, width, C) one-hot, background first.
        y_pred: (N, height, width, C) softmax.
    Returns:
        (N,) float32.
    """
    truth = ops.cast(y_true[..., 1:], "float32")
    predicted = ops.cast(y_pred[..., 1:] > 0.5, "float32")
    both = ops.sum(truth * predicted, axis=(1, 2))
    total = ops.sum(truth + predicted, axis=(1, 2))
    dice = ops.where(total > 0, 2 * both / ops.maximum(total, 1), 1.0)
    return ops.mean(dice, axis=-1)
