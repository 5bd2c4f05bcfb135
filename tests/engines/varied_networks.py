"""Networks with random weights whose answers differ from place to place, as trained ones' do."""

from __future__ import annotations

import keras
import numpy as np

# Passes in which batch norms learn what they see.
PASSES = 8
# Of a class's logit around 0: both sure and doubtful answers.
SPREAD = 3.0


def vary(network: keras.Model, inputs: list[np.ndarray]) -> None:
    """Makes a network answer 0.5 in the middle of its answers to ``inputs``, and sure at the ends.

    Its batch norms are fitted to the inputs, and its last layer looks along the direction in which
    what comes into it differs most.
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
