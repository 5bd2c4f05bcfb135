from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, open_network
from h2g.engines.keras_engine import found_devices
from h2g.errors import WrongUseError
from h2g.folders.run import Run, open_run
from h2g.models.deployment import deployed, load_network
from tests.engines.engine_contract import EngineContract, patch_feed
from tests.tiny_run import PX


class TestKerasEngine(EngineContract):
    engine = "keras"
    suffix = ".keras"
    ahead = 1
    refusal = "not a Keras model that can be loaded"


@pytest.fixture
def run(tiny_run: Path) -> Run:
    """A run folder with both networks, with random weights."""
    return open_run(tiny_run)


def some_patches(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, PX, PX, 3), dtype=np.uint8)


def test_patches_of_bytes_or_floats_as_the_deployed_graph(run: Run) -> None:
    patches = some_patches(6)
    graph = deployed(load_network(run.model_file("patch")))
    expected = graph.predict_on_batch(patches.astype(np.float32))
    network = open_network(run.model_file("patch"), engine="keras", many=True, batch_size=4)
    for count in (1, 4, 6):
        found = network.run(patch_feed(patches[:count]))
        assert found.shape == (count, 2)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:count], atol=1e-5)
    floats = network.run(patch_feed(patches.astype(np.float32)))
    np.testing.assert_array_equal(floats, found)


def test_slides_of_any_size_as_the_deployed_graph(run: Run) -> None:
    network = open_network(run.model_file("refinement"), engine="keras", device="auto")
    graph = deployed(load_network(run.model_file("refinement")))
    rng = np.random.default_rng(0)
    for height, width in ((40, 30), (25, 70)):
        image = rng.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
        heatmap = rng.random((1, height // 8, width // 8, 1), np.float32)
        found = network.run({IMAGE_INPUT: image, HEATMAP_INPUT: heatmap})
        assert found.shape == (1, PX, PX, 2)
        assert found.dtype == np.float32
        expected = graph.predict_on_batch([image.astype(np.float32), heatmap])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_inputs_by_name_in_any_order(run: Run) -> None:
    network = open_network(run.model_file("refinement"), engine="keras")
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 40, 30, 3), dtype=np.uint8)
    heatmap = rng.random((1, 5, 4, 1), np.float32)
    one = network.run({IMAGE_INPUT: image, HEATMAP_INPUT: heatmap})
    other = network.run({HEATMAP_INPUT: heatmap, IMAGE_INPUT: image})
    np.testing.assert_array_equal(one, other)


def test_devices(run: Run) -> None:
    file = run.model_file("patch")
    network = open_network(file, engine="keras", device="CPU", many=True)
    assert network.device == "CPU"
    assert network.run(patch_feed(some_patches(3))).shape == (3, 2)
    if "GPU" in found_devices():
        assert open_network(file, engine="keras", device="GPU").device == "GPU"
        assert open_network(file, engine="keras", device="auto").device == "GPU"
    else:
        assert open_network(file, engine="keras", device="auto").device == "CPU"
        with pytest.raises(WrongUseError, match="Keras finds no GPU here.*--device CPU"):
            open_network(file, engine="keras", device="GPU")


def test_batches_of_other_sizes_are_padded(run: Run) -> None:
    """Batches of other sizes than the network's own give the same output."""
    patches = some_patches(5)
    network = open_network(run.model_file("patch"), engine="keras", many=True, batch_size=2)
    batches = [("a", patch_feed(patches[:3])), ("b", patch_feed(patches[3:]))]
    found = dict(network.run_each(batches))
    expected = network.run(patch_feed(patches))
    np.testing.assert_allclose(np.concatenate([found["a"], found["b"]]), expected, atol=1e-6)
