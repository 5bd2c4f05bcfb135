"""Losses on softmax probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="h2g")
class SoftDice(keras.losses.Loss):
    """Soft Dice loss with squared denominators, without background, one slide at a time.

    Per slide and class: ``1 - (2 sum(p g) + s) / (sum(p^2) + sum(g^2) + s)``, with sums over the
    slide's pixels. The result is the mean over tumour classes, then over slides. A slide without
    tumour costs nothing if no tumour is predicted on it.

    Args:
        smoothing: s, which also sets how much false tumour on an empty slide costs.
        class_weights: (C,), background first and without effect. They turn the mean over tumour
            classes into a weighted mean. None gives all classes the same weight.
        over_batch: whether the sums are over all pixels of the batch. Tiles without tumour then do
            not count on their own.

    Shapes: truth (one-hot) and probabilities (N, height, width, C), background first. A pixel whose
    truth is 0 in every class is not annotated, and costs nothing.
    Source: the loss of H2G-Net's public training script; the paper does not name one.
    """

    def __init__(
        self,
        smoothing: float = 1.0,
        class_weights: Sequence[float] | None = None,
        over_batch: bool = False,
        name: str = "soft_dice",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.smoothing = smoothing
        self.over_batch = over_batch
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        truth, probabilities = y_true[..., 1:], (y_pred * _known(y_true))[..., 1:]
        axes = (0, 1, 2) if self.over_batch else (1, 2)
        overlap = ops.sum(truth * probabilities, axis=axes)
        squares = ops.sum(ops.square(truth) + ops.square(probabilities), axis=axes)
        dice = (2 * overlap + self.smoothing) / (squares + self.smoothing)
        if self.class_weights is None:
            return 1 - ops.mean(dice, axis=-1)
        weights = self.class_weights[1:]
        shares = ops.convert_to_tensor([weight / sum(weights) for weight in weights], dice.dtype)
        return 1 - ops.sum(dice * shares, axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = {
            "smoothing": self.smoothing,
            "class_weights": self.class_weights,
            "over_batch": self.over_batch,
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="h2g")
class DiceCrossEntropy(SoftDice):
    """SoftDice plus the mean cross-entropy of a slide's pixels, one slide at a time.

    Dice scores a slide as a whole, and cross-entropy each pixel on its own, background included.
    The sum has a gradient even if one of them has none. A pixel's cross-entropy is ``-w log p`` of
    its true class. w is the weight of this class divided by the mean weight of all C classes, so
    that the weights do not change the ratio of the two parts.

    Args, shapes: the same as SoftDice; the background's weight affects the cross-entropy.
    Source: Isensee et al. 2021 (nnU-Net), whose loss is this sum, with another form of Dice.
    """

    def __init__(
        self,
        smoothing: float = 1.0,
        class_weights: Sequence[float] | None = None,
        over_batch: bool = False,
        name: str = "dice_cross_entropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(smoothing, class_weights, over_batch, name=name, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        losses = ops.categorical_crossentropy(y_true, y_pred)
        if self.class_weights is not None:
            mean = sum(self.class_weights) / len(self.class_weights)
            weights = ops.convert_to_tensor([w / mean for w in self.class_weights], losses.dtype)
            losses = losses * ops.sum(y_true * weights, axis=-1)
        return super().call(y_true, y_pred) + ops.mean(losses, axis=(1, 2))


REFINEMENT_LOSSES: dict[str, type[SoftDice]] = {
    "dice": SoftDice,
    "dice-crossentropy": DiceCrossEntropy,
}


def refinement_loss(
    name: str, class_names: Sequence[str], class_weights: str | Mapping[str, float]
) -> SoftDice:
    """The loss of a recipe's ``refinement.loss`` with its ``refinement.class_weights``."""
    weights = None
    if not isinstance(class_weights, str):
        weights = [class_weights.get(class_name, 1.0) for class_name in class_names]
    return REFINEMENT_LOSSES[name](class_weights=weights)


@keras.saving.register_keras_serializable(package="h2g")
class TumourTversky(keras.losses.Tversky):
    """Keras's Tversky loss of the tumour classes, on annotated pixels.

    ``1 - TP / (TP + 0.3 FP + 0.7 FN)``, over each tile or over the batch (axis).

    Shapes: truth (one-hot) and probabilities (N, height, width, C), background first.
    Source: Salehi et al. 2017.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return super().call(y_true[..., 1:], (y_pred * _known(y_true))[..., 1:])


# Weights of false positives and of false negatives, as the paper of Tversky's loss found best.
FALSE_POSITIVES, FALSE_NEGATIVES = 0.3, 0.7


def mask_loss(name: str, *, over_batch: bool, label_smoothing: float = 0.0) -> keras.losses.Loss:
    """The loss of a recipe's ``patch.loss`` for a network that segments tiles.

    Args:
        name: crossentropy, focal, dice, dice-crossentropy or tversky.
        over_batch: whether dice and tversky are of the whole batch, or of each tile.
    """
    if name == "crossentropy":
        return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
    if name == "focal":
        return keras.losses.CategoricalFocalCrossentropy(label_smoothing=label_smoothing)
    if name == "tversky":
        axis = None if over_batch else (1, 2, 3)
        # Keras 3.15 weighs the missed pixels by alpha, against what its documentation says.
        return TumourTversky(alpha=FALSE_NEGATIVES, beta=FALSE_POSITIVES, axis=axis)
    return REFINEMENT_LOSSES[name](over_batch=over_batch)


@keras.saving.register_keras_serializable(package="h2g")
def slide_dice(y_true: Any, y_pred: Any) -> Any:
    """Dice of each slide: 2 TP / (true + predicted), averaged over tumour classes.

    A pixel has a class if its probability is above 0.5. A class that is neither true nor predicted
    has 1. Keras averages over slides (macro mean).

    Args:
        y_true: (N, height, width, C) one-hot, background first; pixels with 0 in every class do not
            count.
        y_pred: (N, height, width, C) softmax.
    Returns:
        (N,) float32.
    """
    truth = ops.cast(y_true[..., 1:], "float32")
    predicted = ops.cast(y_pred[..., 1:] > 0.5, "float32") * ops.cast(_known(y_true), "float32")
    both = ops.sum(truth * predicted, axis=(1, 2))
    total = ops.sum(truth + predicted, axis=(1, 2))
    dice = ops.where(total > 0, 2 * both / ops.maximum(total, 1), 1.0)
    return ops.mean(dice, axis=-1)


def _known(y_true: Any) -> Any:
    """1 for annotated pixels, else 0; (N, height, width, 1)."""
    return ops.sum(y_true, axis=-1, keepdims=True)
