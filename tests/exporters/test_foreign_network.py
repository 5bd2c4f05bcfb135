from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import pytest

from h2g.errors import ModelError
from h2g.exporters.foreign_network import check_foreign

layers = keras.layers
FILE = Path("a.keras")


def network(
    *first: keras.layers.Layer, end: str | None = "softmax", nested: bool = False
) -> keras.Model:
    keras.utils.set_random_seed(0)
    patch = keras.Input((8, 8, 3), name="patch")
    x = _inner(first)(patch) if nested else _through(first, patch)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(patch, layers.Dense(2, activation=end)(x))


def _inner(first: Sequence[keras.layers.Layer]) -> keras.Model:
    tensor = keras.Input((8, 8, 3))
    return keras.Model(tensor, _through(first, tensor))


def _through(chain: Sequence[keras.layers.Layer], x: keras.KerasTensor) -> keras.KerasTensor:
    for layer in chain:
        x = layer(x)
    return x


def test_networks_of_h2g_pass() -> None:
    check_foreign(network(layers.Conv2D(3, 3)), FILE)
    # From [0, 1] to [-1, 1], as MobileNetV2 takes it.
    check_foreign(network(layers.Rescaling(2.0, offset=-1.0)), FILE)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("scale", [1 / 255, 1 / 127.5])
def test_own_scaling_of_pixels_is_refused(scale: float, nested: bool) -> None:
    with pytest.raises(ModelError, match="scales pixels of 0 to 255, but h2g passes RGB in"):
        check_foreign(network(layers.Rescaling(scale), nested=nested), FILE)


def test_own_normalisation_is_refused() -> None:
    layer = layers.Normalization(mean=[0.5, 0.5, 0.5], variance=[1.0, 1.0, 1.0])
    with pytest.raises(ModelError, match="normalises its own pixels"):
        check_foreign(network(layer), FILE)


@pytest.mark.parametrize("end", [None, "sigmoid"])
def test_outputs_that_are_no_probabilities_are_refused(end: str | None) -> None:
    with pytest.raises(ModelError, match="outputs are no probabilities.*End the network with a"):
        check_foreign(network(layers.Conv2D(3, 3), end=end), FILE)
