"""Training on several outputs of a network, validated on the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

CELLS = "_cells"


@keras.saving.register_keras_serializable(package="h2g")
class DeepSupervision(keras.Model):
    """A network that is trained on all its outputs.

    The training loss is the sum of the compiled loss over outputs, each times its weight. An output
    of 1/s the truth's size is compared with every s-th pixel of the truth, or, if its name ends in
    ``_cells``, with the class of most pixels of each square of s x s. The validation loss and all
    metrics are those of the first output, which is the one that is kept.

    Built as a functional model, ``DeepSupervision(inputs, outputs)``; outputs are
    (N, P / s, P / s, C), the truth is (N, P, P, C).

    Args:
        output_weights: by output; None gives each the weight 1 / number of outputs.
    Source: H2G-Net's public training script, 1/7 for each output of AGU-Net and DAGU-Net and 1/2
        for each of DoubleU-Net; the paper gives no weights.
    """

    def __init__(
        self, *args: Any, output_weights: Sequence[float] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        count = len(self.outputs)
        self.output_weights = tuple(output_weights or [1 / count] * count)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        if not training:
            return super().compute_loss(x, y, y_pred[0], sample_weight, training)
        total = 0.0
        for name, output, weight in zip(
            self.output_names, y_pred, self.output_weights, strict=True
        ):
            truth = _truth_of(name, y, output.shape[1])
            total += weight * super().compute_loss(x, truth, output, sample_weight, training)
        return total

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        return super().compute_metrics(x, y, y_pred[0], sample_weight)


def with_supervision(
    network: keras.Model, output_weights: Sequence[float] | None = None
) -> keras.Model:
    """The network for training: itself, or all its outputs if it has several."""
    if len(network.outputs) == 1:
        return network
    return DeepSupervision(
        network.input, network.outputs, output_weights=output_weights, name=network.name
    )


def _truth_of(output: str, truth: Any, side: int) -> Any:
    """The truth of an output with ``side`` pixels, (N, P, P, C) -> (N, side, side, C)."""
    step = truth.shape[1] // side
    return _majority(truth, step) if output.endswith(CELLS) else truth[:, ::step, ::step]


def _majority(truth: Any, step: int) -> Any:
    """One-hot class of most pixels of each square; 0 in every class if none is annotated."""
    shares = ops.average_pool(truth, step, strides=step, data_format="channels_last")
    known = ops.cast(ops.sum(shares, axis=-1, keepdims=True) > 0, shares.dtype)
    return known * ops.one_hot(ops.argmax(shares, axis=-1), shares.shape[-1], dtype=shares.dtype)
