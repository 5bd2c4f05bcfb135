"""Keras files that h2g did not train: looked at, run once, and adapted to h2g's inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from h2g.errors import ModelError
from h2g.models.deployment import INPUT_NAMES

logger = logging.getLogger(__name__)

FIRST = "output_0_"
OUTPUT = f"{FIRST}probabilities"
# A smaller factor at the input means pixels of 0 to 255.
LARGEST_PIXEL_SCALE = 0.1
# A normalisation with a larger mean subtracts pixels of 0 to 255.
LARGEST_UNIT_MEAN = 1.5
SUM_TOLERANCE = 1e-3

Sides = tuple[int | None, ...]


def adapted(network: keras.Model, path: Path, wanted: Sequence[Sides]) -> keras.Model:
    """A patch network of another author that takes what h2g passes; the network itself if it does.

    Names of inputs, a free size of the input, and pixels of 0 to 255 that the network scales
    itself are adapted, each with a message.

    Args:
        wanted: shapes of the recipe's patch and of its output, without the batch axis.
    Returns:
        A network with the input ``patch``, RGB in [0, 1], and the output ``output_0_probabilities``
        of the wanted shapes where the file allows it. Its weights are the file's.
    """
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        return network
    own_shape, scales = tuple(network.inputs[0].shape[1:]), _scales_pixels(network)
    size = wanted[0] if _fits(own_shape, wanted[0]) else own_shape
    has_names = network.inputs[0].name in INPUT_NAMES and network.output_names[0].startswith(FIRST)
    if has_names and size == own_shape and not scales:
        return network
    patch = keras.Input(size, name="patch")
    pixels = keras.layers.Rescaling(255.0, name="pixels_0_to_255")(patch) if scales else patch
    values = keras.layers.Identity(name=OUTPUT)(network(pixels))
    if scales:
        logger.info("%s: scales pixels of 0 to 255 itself, so it gets them.", path)
    if size != own_shape:
        logger.info("%s: takes any size, so it gets the recipe's %s px.", path, size[0])
    return keras.Model(patch, values, name=network.name)


def check_probabilities(network: keras.Model, path: Path) -> None:
    """Runs the network once.

    Raises:
        ModelError: its outputs are no probabilities.
    """
    rng = np.random.default_rng(0)
    feed = [
        rng.random((1, *(side or 64 for side in tensor.shape[1:])), np.float32)
        for tensor in network.inputs
    ]
    values = network.predict_on_batch(feed if len(feed) > 1 else feed[0])
    first = np.asarray(values[0] if isinstance(values, list) else values)
    sums = first.sum(axis=-1)
    if first.min() < -SUM_TOLERANCE or np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise ModelError(
            f"{path}: the outputs are no probabilities of the classes (values from "
            f"{first.min():.2g} to {first.max():.2g}, sums from {sums.min():.2g} to "
            f"{sums.max():.2g}). End the network with a softmax over the classes, background first."
        )


def _fits(own: Sides, wanted: Sides) -> bool:
    return len(own) == len(wanted) and all(
        side in (None, other) for side, other in zip(own, wanted, strict=True)
    )


def _scales_pixels(network: keras.Model) -> bool:
    """Whether the first layers take pixels of 0 to 255."""
    return any(_takes_0_to_255(layer) for layer in _first_layers(network))


def _takes_0_to_255(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.Rescaling):
        return bool(np.max(layer.scale) < LARGEST_PIXEL_SCALE)
    if isinstance(layer, keras.layers.Normalization):
        return bool(np.max(np.abs(keras.ops.convert_to_numpy(layer.mean))) > LARGEST_UNIT_MEAN)
    return False


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
