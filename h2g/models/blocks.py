"""Pieces that several networks share."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

REFINEMENT_INPUTS = ("both", "heatmap", "image")


def classifier_head(features: Any, num_classes: int, *, dropout: float) -> Any:
    """Class probabilities from a backbone's feature map.

    Args:
        features: (N, h, w, F).
    Returns:
        (N, num_classes) float32, softmax.
    Source: Pedersen et al. 2022, section 2.4: pooling, dense 100, dropout, ReLU, batch norm, dense.
    """
    x = layers.GlobalAveragePooling2D(name="head_pool")(features)
    x = layers.Dense(100, name="head_dense")(x)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    x = layers.ReLU(name="head_relu")(x)
    x = layers.BatchNormalization(name="head_bn")(x)
    # float32 also under mixed precision: half-precision probabilities would reach the loss.
    return layers.Dense(
        num_classes, activation="softmax", dtype="float32", name="output_0_probabilities"
    )(x)


def refinement_inputs(
    image_shape: tuple[int, int, int], heatmap_shape: tuple[int, int, int], inputs: str = "both"
) -> tuple[list[Any], Any]:
    """The two inputs of a refinement network, and both concatenated.

    Args:
        inputs: ``both``, or the one that counts: the other is multiplied by 0, inside the network
            so that the control runs in deployment as it was trained.
    Returns:
        [image (P, P, 3), heatmap (P, P, C - 1)], and (P, P, C + 2).
    """
    if inputs not in REFINEMENT_INPUTS:
        raise ValueError(f"inputs is '{inputs}', must be one of {', '.join(REFINEMENT_INPUTS)}")
    image = keras.Input(image_shape, name="image")
    heatmap = keras.Input(heatmap_shape, name="heatmap")
    used = [
        tensor if inputs in ("both", tensor.name) else _zeros_of(tensor)
        for tensor in (image, heatmap)
    ]
    return [image, heatmap], layers.Concatenate(name="input_concat")(used)


def conv_block(
    x: Any, filters: int, *, momentum: float, spatial_dropout: float = 0.0, name: str
) -> Any:
    """(convolution 3x3 - batch norm - ReLU) twice, each followed by spatial dropout if wanted."""
    for number in range(2):
        prefix = f"{name}_{number}"
        x = layers.Conv2D(filters, 3, padding="same", name=f"{prefix}_conv")(x)
        x = layers.BatchNormalization(momentum=momentum, name=f"{prefix}_bn")(x)
        x = layers.ReLU(name=f"{prefix}_relu")(x)
        if spatial_dropout:
            x = layers.SpatialDropout2D(spatial_dropout, name=f"{prefix}_dropout")(x)
    return x


def segmentation_head(x: Any, num_classes: int) -> Any:
    """(N, P, P, num_classes) float32, softmax in every pixel."""
    return layers.Conv2D(
        num_classes, 1, activation="softmax", dtype="float32", name="output_0_segmentation"
    )(x)


def batch_norms(model: keras.Model) -> list[layers.BatchNormalization]:
    """The batch-norm layers of a model, those of models inside it too."""
    found: list[layers.BatchNormalization] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += batch_norms(layer)
        elif isinstance(layer, layers.BatchNormalization):
            found.append(layer)
    return found


def set_batch_norm_momentum(model: keras.Model, momentum: float) -> None:
    """Sets how slowly the running mean and variance of every batch norm follow the batches."""
    for layer in batch_norms(model):
        layer.momentum = momentum


def _zeros_of(tensor: Any) -> Any:
    return layers.Rescaling(0.0, name=f"{tensor.name}_off")(tensor)
