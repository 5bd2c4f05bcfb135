from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from h2g.errors import ModelError
from h2g.exporters.foreign_network import OUTPUT, adapted, check_probabilities
from h2g.models.deployment import deployed

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


SHAPES = [(8, 8, 3), (2,)]
PIXELS = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3)).astype(np.float32)


def named(first: keras.layers.Layer) -> keras.Model:
    patch = keras.Input((8, 8, 3), name="patch")
    x = layers.GlobalAveragePooling2D()(first(patch))
    return keras.Model(patch, layers.Dense(2, activation="softmax", name=OUTPUT)(x))


def test_networks_of_h2g_stay_as_they_are() -> None:
    # From [0, 1] to [-1, 1], as MobileNetV2 takes it.
    for first in (layers.Conv2D(3, 3), layers.Rescaling(2.0, offset=-1.0)):
        network = named(first)
        assert adapted(network, FILE, SHAPES) is network


@pytest.mark.parametrize(
    "first",
    [
        lambda: layers.Rescaling(1 / 255),
        lambda: layers.Rescaling(1 / 127.5, offset=-1),
        lambda: layers.Normalization(mean=[124.0, 116, 104], variance=[3400.0, 3300, 3400]),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_network_that_scales_its_pixels_gets_0_to_255(
    first: Callable[[], keras.layers.Layer], nested: bool, caplog: pytest.LogCaptureFixture
) -> None:
    own = network(first(), nested=nested)
    caplog.set_level("INFO", logger="h2g")
    graph = deployed(adapted(own, FILE, SHAPES))
    found, right = graph.predict_on_batch(PIXELS), own.predict_on_batch(PIXELS)
    np.testing.assert_allclose(found, right, atol=1e-6)
    assert np.ptp(right[:, 0]) > 1e-3  # the scale matters
    assert "a.keras: scales pixels of 0 to 255 itself" in caplog.text


def test_a_normalisation_of_pixels_in_0_to_1_gets_those() -> None:
    own = network(layers.Normalization(mean=[0.5, 0.5, 0.5], variance=[0.1, 0.1, 0.1]))
    found = deployed(adapted(own, FILE, SHAPES)).predict_on_batch(PIXELS)
    np.testing.assert_allclose(found, own.predict_on_batch(PIXELS / 255), atol=1e-6)


def test_any_size_becomes_the_recipe_s() -> None:
    image = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(image))
    own = keras.Model(image, layers.Dense(2, activation="softmax")(x))
    found = adapted(own, FILE, SHAPES)
    assert [tensor.shape[1:] for tensor in (*found.inputs, *found.outputs)] == SHAPES
    np.testing.assert_allclose(
        deployed(found).predict_on_batch(PIXELS), own.predict_on_batch(PIXELS / 255), atol=1e-6
    )


@pytest.mark.parametrize("end", [None, "sigmoid"])
def test_outputs_that_are_no_probabilities_are_refused(end: str | None) -> None:
    with pytest.raises(ModelError, match="outputs are no probabilities.*End the network with a"):
        check_probabilities(network(layers.Conv2D(3, 3), end=end), FILE)
