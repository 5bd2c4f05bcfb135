from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13

from h2g.engines.engine import (
    HEATMAP_INPUT,
    IMAGE_INPUT,
    PATCH_INPUT,
    Network,
    open_network,
)
from h2g.engines.openvino_engine import has_bfloat16
from h2g.errors import ModelError, WrongUseError
from tests.engines.engine_contract import (
    FIELD_TOLERANCE,
    PATCH_TOLERANCE,
    ExportedContract,
    FastGraphsContract,
    patch_feed,
)
from tests.engines.small_networks import CLASSES, PATCH_PX, SmallNetworks

needs_bfloat16 = pytest.mark.skipif(
    not has_bfloat16("CPU"), reason="this CPU does not compute in bfloat16"
)


class TestOpenVinoEngine(ExportedContract):
    engine = "openvino"
    suffix = ".xml"
    ahead = 2


class TestOpenVinoEngineOnOnnx(FastGraphsContract):
    engine = "openvino"
    suffix = ".onnx"
    ahead = 2


def open_patch(networks: SmallNetworks, **options: object) -> Network:
    file = networks.file("patch", ".xml")
    return open_network(file, engine="openvino", many=True, **options)


def open_refinement(networks: SmallNetworks, **options: object) -> Network:
    return open_network(networks.file("refinement", ".xml"), engine="openvino", **options)


@pytest.mark.parametrize(("streams", "request_rows"), [(1, None), (2, 4), (1, 30)])
def test_any_number_of_streams_and_patches_per_request(
    small_networks: SmallNetworks, streams: int, request_rows: int | None
) -> None:
    network = open_patch(small_networks, streams=streams, request_rows=request_rows)
    patches = small_networks.patches
    bounds = [(0, 7), (7, 8), (8, 21), (0, 21)]
    found = dict(network.run_each(((a, b), patch_feed(patches[a:b])) for a, b in bounds))
    assert sorted(found) == sorted(bounds)
    for (first, last), probabilities in found.items():
        expected = small_networks.expected[first:last]
        np.testing.assert_allclose(probabilities, expected, atol=PATCH_TOLERANCE)


def test_running_while_batches_are_underway(small_networks: SmallNetworks) -> None:
    network = open_patch(small_networks, streams=1)
    patches, expected = small_networks.patches, small_networks.expected
    for number, probabilities in network.run_each((n, patch_feed(patches[n:])) for n in range(5)):
        found = network.run(patch_feed(patches))
        np.testing.assert_allclose(found, expected, atol=PATCH_TOLERANCE)
        np.testing.assert_allclose(probabilities, expected[number:], atol=PATCH_TOLERANCE)


def test_a_level_is_not_copied_as_floats(small_networks: SmallNetworks) -> None:
    network = open_refinement(small_networks)
    image, heatmap = np.zeros((1, 3000, 2000, 3), np.uint8), np.zeros((1, 4, 4, 2), np.float32)
    tracemalloc.start()
    try:
        network.run({IMAGE_INPUT: image, HEATMAP_INPUT: heatmap})
        assert tracemalloc.get_traced_memory()[1] < image.nbytes
    finally:
        tracemalloc.stop()


@needs_bfloat16
def test_bfloat16_is_used_on_request(small_networks: SmallNetworks) -> None:
    patch = open_patch(small_networks, precision="bfloat16")
    refinement = open_refinement(small_networks, precision="bfloat16")
    assert patch.precision == refinement.precision == "bfloat16"
    found = patch.run(patch_feed(small_networks.patches))
    difference = np.abs(found - small_networks.expected).max()
    assert PATCH_TOLERANCE < difference < 0.1
    refined = refinement.run(small_networks.fields[0])
    difference = np.abs(refined - small_networks.expected_fields[0]).max()
    assert FIELD_TOLERANCE < difference < 0.3
    assert open_patch(small_networks).precision == "float32"


@pytest.mark.skipif(has_bfloat16("CPU"), reason="this CPU computes in bfloat16")
def test_bfloat16_that_the_cpu_lacks(small_networks: SmallNetworks) -> None:
    with pytest.raises(WrongUseError, match="does not compute in bfloat16"):
        open_patch(small_networks, precision="bfloat16")


def test_float16_files_are_computed_in_float32(
    small_networks: SmallNetworks, tmp_path: Path
) -> None:
    file = tmp_path / "patch.xml"
    model = openvino.Core().read_model(small_networks.file("patch", ".xml"))
    openvino.save_model(model, file, compress_to_fp16=True)
    network = open_network(file, engine="openvino", precision="float16", many=True)
    assert network.precision == "float32"
    found = network.run(patch_feed(small_networks.patches))
    np.testing.assert_allclose(found, small_networks.expected, atol=0.02)


def test_int8_is_recognised_from_the_layers(tmp_path: Path) -> None:
    file = tmp_path / "patch.int8.xml"
    openvino.save_model(_quantised(), file, compress_to_fp16=False)
    network = open_network(file, engine="openvino", precision="int8", many=True)
    assert network.precision == "int8"
    assert network.run(patch_feed(np.zeros((2, PATCH_PX, PATCH_PX, 3), np.uint8))).shape == (2, 3)


def test_weights_that_are_missing(small_networks: SmallNetworks, tmp_path: Path) -> None:
    (tmp_path / "patch.xml").write_bytes(small_networks.file("patch", ".xml").read_bytes())
    with pytest.raises(ModelError, match="patch.xml: OpenVINO cannot load it"):
        open_network(tmp_path / "patch.xml", engine="openvino")


def _quantised() -> openvino.Model:
    """Two convolutions of int8 weights over quantised images."""
    patch = opset13.parameter([-1, PATCH_PX, PATCH_PX, 3], np.float32, name=PATCH_INPUT)
    patch.output(0).set_names({PATCH_INPUT})
    x = opset13.transpose(patch, [0, 3, 1, 2])
    low, high = np.float32(0), np.float32(255)
    for channels in (3, 16):
        x = opset13.fake_quantize(x, low, high, low, high, 256)
        whole = np.random.default_rng(0).integers(-127, 128, (16, channels, 3, 3)).astype(np.int8)
        weights = opset13.convert(opset13.constant(whole), np.float32)
        weights = opset13.multiply(weights, np.float32(0.01))
        x = opset13.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    x = opset13.reduce_mean(x, np.array([2, 3]))
    logits = opset13.matmul(x, np.ones((16, len(CLASSES)), np.float32), False, False)
    return openvino.Model([opset13.softmax(logits, 1)], [patch])
