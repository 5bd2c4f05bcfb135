"""Training on several outputs of a network, validated on the first."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="h2g")
class DeepSupervision(keras.Model):
    """A network that is trained on all its outputs, with equal weights.

    The training loss is the mean of the compiled loss over outputs. An output of 1/s the truth's
    size is compared with every s-th pixel of the truth. The validation loss and all metrics are
    those of the first output, which is the one that is kept.

    Built as a functional model, ``DeepSupervision(inputs, outputs)``; outputs are
    (N, P / s, P / s, C), the truth is (N, P, P, C).
    Source: H2G-Net's public training script, 1/7 for each output of AGU-Net and DAGU-Net and 1/2
        for each of DoubleU-Net; the paper gives no weights.
    """

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        outputs = y_pred if training else y_pred[:1]
        total = 0.0
        for output in outputs:
            truth = _every_nth_pixel(y, output.shape[1])
            total += super().compute_loss(x, truth, output, sample_weight, training)
        return total / len(outputs)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        return super().compute_metrics(x, y, y_pred[0], sample_weight)


def with_supervision(network: keras.Model) -> keras.Model:
    """The network for training: itself, or all its outputs if it has several."""
    if len(network.outputs) == 1:
        return network
    return DeepSupervision(network.input, network.outputs, name=network.name)


def _every_nth_pixel(truth: Any, side: int) -> Any:
    """Every (P / side)-th pixel from the first on, (N, P, P, C) -> (N, side, side, C)."""
    step = truth.shape[1] // side
    return truth[:, ::step, ::step]
