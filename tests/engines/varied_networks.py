"""Random weights whose outputs vary from place to place, like those of trained networks."""

from __future__ import annotations

import keras
import numpy as np

# Forward passes that fit the batch norms.
PASSES = 8
# Standard deviation of a class's logit around 0, for both sure and doubtful outputs.
SPREAD = 3.0


def vary(network: keras.Model, inputs: list[np.ndarray]) -> None:
    """Sets weights so that the outputs for ``inputs`` have median 0.5 and sure values at the ends.

    The batch norms are fitted to the inputs. The last layer projects its input on the direction of
    largest variance.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5
    for _ in range(PASSES):
        network(inputs if len(inputs) > 1 else inputs[0], training=True)
    head = next(layer for layer in reversed(network.layers) if layer.weights)
    features = keras.Model(network.inputs, head.input)(inputs, training=False)
    features = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
    middle = features.mean(axis=0)
    direction = np.linalg.svd(features - middle, full_matrices=False)[2][0]
    along = (features - middle) @ direction
    scale = SPREAD / along.std()
    kernel, bias = (np.zeros_like(weights) for weights in head.get_weights())
    kernel[..., 1] = direction * scale
    bias[1] = -(middle @ direction + np.median(along)) * scale
    head.set_weights([kernel, bias])
