"""One contract for every registered network: each format runs it as Keras does."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from h2g.exporters.to_onnx import write_onnx
from h2g.exporters.to_openvino import write_openvino
from h2g.exporters.to_tflite import write_tflite
from h2g.models.architectures.resnext import GroupedConv2D
from h2g.models.backbones import ReverseChannels
from h2g.models.deployment import deployed
from h2g.models.registry import PATCH_MODELS, REFINEMENT_MODELS, TILE_MODELS
from tests.exporters.bare_runtimes import run_file
from tests.exporters.drawn_graphs import DrawnGraph, drawn, patch_graph, refinement_graph
from tests.narrow_networks import NARROW

PX = 256
TILE_PX = 64
# The other backbones, of the same layers of Keras, take minutes to convert.
OF_PAPERS = [name for name, model in PATCH_MODELS.items() if model.paper_parameters]
WRITERS: dict[str, Callable[..., None]] = {
    "network.onnx": write_onnx,
    "network.xml": write_openvino,
    "network.tflite": write_tflite,
}


@pytest.fixture(scope="module", params=OF_PAPERS)
def patch(request: pytest.FixtureRequest) -> DrawnGraph:
    return patch_graph(request.param, size_px=PX, batches=(1, 3))


@pytest.fixture(scope="module", params=TILE_MODELS)
def tile(request: pytest.FixtureRequest) -> DrawnGraph:
    options = NARROW.get(request.param)
    return patch_graph(request.param, size_px=TILE_PX, batches=(1, 3), options=options)


@pytest.fixture(scope="module")
def own_layers() -> DrawnGraph:
    """The layers of backbones that are not Keras's, in a row."""
    keras.utils.set_random_seed(0)
    patch = keras.Input((16, 16, 3), name="patch")
    x = ReverseChannels()(patch)
    x = keras.layers.Conv2D(8, 3, activation="relu")(x)
    x = GroupedConv2D(16, 3, groups=4, strides=2, padding="valid")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(3, activation="softmax", name="output_0_probabilities")(x)
    model = deployed(keras.Model(patch, x))
    return drawn(model, [((number, 16, 16),) for number in (1, 3)])


@pytest.fixture(scope="module", params=REFINEMENT_MODELS)
def refinement(request: pytest.FixtureRequest) -> DrawnGraph:
    sizes = (((300, 411), (5, 7)), ((700, 513), (21, 11)))
    options = narrow(request.param)
    return refinement_graph(request.param, input_px=PX, sizes=sizes, options=options)


@pytest.mark.parametrize("file", WRITERS)
def test_patch_models_convert(patch: DrawnGraph, file: str, tmp_path: Path) -> None:
    check(patch, file, tmp_path, limit=1e-4)


@pytest.mark.parametrize("file", WRITERS)
def test_tile_models_convert(tile: DrawnGraph, file: str, tmp_path: Path) -> None:
    check(tile, file, tmp_path, limit=1e-4)


@pytest.mark.parametrize("file", WRITERS)
def test_layers_of_backbones_convert(own_layers: DrawnGraph, file: str, tmp_path: Path) -> None:
    check(own_layers, file, tmp_path, limit=1e-5)


@pytest.mark.parametrize("file", WRITERS)
def test_refinement_models_convert(refinement: DrawnGraph, file: str, tmp_path: Path) -> None:
    check(refinement, file, tmp_path, limit=1e-3)


def narrow(name: str) -> dict[str, list[int]]:
    """Options for a quarter of the published widths: the same layers, converted in less time."""
    parameters = inspect.signature(REFINEMENT_MODELS[name].builder).parameters
    if "filters" not in parameters:
        return {}
    return {"filters": [width // 4 for width in parameters["filters"].default]}


def check(graph: DrawnGraph, file: str, folder: Path, *, limit: float) -> None:
    WRITERS[file](graph.model, folder / file)
    (name,) = graph.model.output_names
    # Else any network of these weights would pass.
    assert np.ptp(graph.outputs[0][name]) > 100 * limit
    assert graph.largest_difference(run_file(folder / file, graph.feeds)) < limit
