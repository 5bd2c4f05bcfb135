"""Losses on softmax probabilities."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="h2g")
class SoftDice(keras.losses.Loss):
    """Soft Dice loss with squared denominators, background left out, one slide at a time.

    Per slide and class: ``1 - (2 sum(p g) + s) / (sum(p^2) + sum(g^2) + s)``, summed over the
    slide's pixels; the mean over tumour classes, then over slides. A slide without tumour costs
    nothing when nothing is predicted on it.

    Args:
        smoothing: s; it also weighs how much false tumour on an empty slide costs.

    Shapes: truth (one-hot) and probabilities (N, height, width, C), background first.
    Source: the loss of H2G-Net's public training script; the paper does not name one.
    """

    def __init__(self, smoothing: float = 1.0, name: str = "soft_dice", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        truth, probabilities = y_true[..., 1:], y_pred[..., 1:]
        overlap = ops.sum(truth * probabilities, axis=(1, 2))
        squares = ops.sum(ops.square(truth) + ops.square(probabilities), axis=(1, 2))
        dice = (2 * overlap + self.smoothing) / (squares + self.smoothing)
        return 1 - ops.mean(dice, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "smoothing": self.smoothing}
