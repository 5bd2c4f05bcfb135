"""Checks of a Keras file that h2g did not train, by its first layers and by running it once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from h2g.errors import ModelError

# A smaller factor at the input means pixels of 0 to 255.
LARGEST_PIXEL_SCALE = 0.1
SUM_TOLERANCE = 1e-3


def check_foreign(network: keras.Model, path: Path) -> None:
    """Refuses a network that takes other pixels, or gives other values, than those of h2g.

    Raises:
        ModelError: it scales pixels of 0 to 255 itself, or its outputs are no probabilities.
    """
    for layer in _first_layers(network):
        if isinstance(layer, keras.layers.Rescaling) and np.max(layer.scale) < LARGEST_PIXEL_SCALE:
            raise ModelError(
                f"{path}: the layer '{layer.name}' scales pixels of 0 to 255, but h2g passes RGB "
                "in [0, 1]. Remove the layer and save the network again."
            )
        if isinstance(layer, keras.layers.Normalization):
            raise ModelError(
                f"{path}: the layer '{layer.name}' normalises its own pixels, but h2g passes RGB "
                "in [0, 1]. Fold the layer into the weights, or train on pixels in [0, 1]."
            )
    rng = np.random.default_rng(0)
    feed = [rng.random((1, *tensor.shape[1:]), np.float32) for tensor in network.inputs]
    values = network.predict_on_batch(feed if len(feed) > 1 else feed[0])
    first = np.asarray(values[0] if isinstance(values, list) else values)
    sums = first.sum(axis=-1)
    if first.min() < -SUM_TOLERANCE or np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise ModelError(
            f"{path}: the outputs are no probabilities of the classes (values from "
            f"{first.min():.2g} to {first.max():.2g}, sums from {sums.min():.2g} to "
            f"{sums.max():.2g}). End the network with a softmax over the classes, background first."
        )


def _first_layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers that an input goes into, also those of networks inside the network."""
    inputs = {id(tensor) for tensor in network.inputs}
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _first_layers(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            try:
                tensors = layer.input if isinstance(layer.input, list) else [layer.input]
            except (AttributeError, ValueError):  # called several times
                continue
            if not inputs.isdisjoint(id(tensor) for tensor in tensors):
                yield layer
