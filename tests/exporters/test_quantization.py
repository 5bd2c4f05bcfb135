"""Int8 networks: what is in int8, how far they are from float32, and what stays as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import onnx
import openvino
import pytest
from ai_edge_litert.interpreter import Interpreter

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, PATCH_INPUT, Feed
from h2g.exporters.quantization import quantise_onnx, quantise_openvino, quantise_tflite
from h2g.exporters.to_onnx import write_onnx
from h2g.exporters.to_openvino import write_openvino
from h2g.models.blocks import classifier_head, conv_bn_relu
from h2g.models.deployment import deployed
from h2g.models.registry import build_refinement_model
from tests.exporters.bare_runtimes import run_file
from tests.exporters.drawn_graphs import CLASSES, DrawnGraph, draw_statistics, keras_outputs

PX = 32
CONVOLUTIONS = {"patch": 4, "refinement": 7}
# A step is 0.4 % of a range, and twice that for 7-bit weights: rounding some eight times in a row
# adds up to 2 % of the range of logits of 4, and a probability changes a quarter as much. This
# head, whose features hardly differ between patches, makes three times that of it; were it in int8,
# the difference would be 0.2 to 0.7.
LIMIT = 0.1
OPSET = 13  # the oldest that an export has, and the first with scales a channel
ABOUT = {"name": "drawn", "stage": "any"}


@dataclass(frozen=True)
class Quantised:
    name: str
    graph: DrawnGraph
    float32: Path | None
    int8: Path


@pytest.fixture(scope="module")
def patch() -> tuple[DrawnGraph, list[Feed]]:
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    network = small_classifier()
    draw_statistics(network)
    seen = draw_patches(rng, 24)
    draw_head(network, seen, rng)
    others = [{PATCH_INPUT: draw_patches(rng, count)} for count in (1, 12)]
    return graph_on(deployed(network), others), [{PATCH_INPUT: each[np.newaxis]} for each in seen]


@pytest.fixture(scope="module")
def refinement() -> tuple[DrawnGraph, list[Feed]]:
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    network = build_refinement_model(
        "unet", input_px=PX, num_classes=CLASSES, options={"filters": [4, 8]}
    )
    draw_statistics(network)
    last = network.layers[-1]
    last.kernel.assign(4 * last.kernel)
    seen = [draw_slide(rng, *sizes) for sizes in ((37, 53, 5, 7), (64, 40, 9, 6))]
    others = [draw_slide(rng, *sizes) for sizes in ((50, 41, 7, 5), (30, 75, 4, 11))]
    return graph_on(deployed(network), others), seen


@pytest.fixture(scope="module", params=["onnx", "xml", "tflite"])
def suffix(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=["patch", "refinement"])
def quantised(
    request: pytest.FixtureRequest, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> Quantised:
    graph, feeds = request.getfixturevalue(request.param)
    folder, name = tmp_path_factory.mktemp("int8"), request.param
    int8 = folder / "new" / f"{name}.int8.{suffix}"
    if suffix == "tflite":
        quantise_tflite(graph.model, int8, feeds)
        return Quantised(name, graph, None, int8)
    float32 = folder / f"{name}.{suffix}"
    if suffix == "onnx":
        write_onnx(graph.model, float32, opset=OPSET, metadata=ABOUT)
        quantise_onnx(float32, int8, feeds)
    else:
        write_openvino(graph.model, float32, info=ABOUT)
        quantise_openvino(float32, int8, feeds)
    return Quantised(name, graph, float32, int8)


def test_runs_at_other_sizes_under_the_same_names_and_near_float32(quantised: Quantised) -> None:
    (name,) = quantised.graph.model.output_names
    # Else any network would be near.
    assert max(np.ptp(outputs[name]) for outputs in quantised.graph.outputs) > 0.7
    found = run_file(quantised.int8, quantised.graph.feeds)
    difference = quantised.graph.largest_difference(found)
    # In int8 there is one.
    assert 1e-4 < difference < LIMIT


def test_convolutions_are_in_int8_with_a_scale_a_channel(quantised: Quantised) -> None:
    count: Callable[[Path], int] = {
        ".onnx": onnx_int8_convolutions,
        ".xml": openvino_int8_convolutions,
        ".tflite": tflite_int8_convolutions,
    }[quantised.int8.suffix]
    # Of an ONNX network the last layer is in float32; a classifier's is dense.
    last_is_float = quantised.int8.suffix == ".onnx" and quantised.name == "refinement"
    assert count(quantised.int8) == CONVOLUTIONS[quantised.name] - last_is_float


def test_files_are_what_was_asked_for_and_no_more(quantised: Quantised) -> None:
    names = [quantised.int8.name]
    if quantised.int8.suffix == ".xml":
        names.insert(0, f"{quantised.name}.int8.bin")
    assert sorted(path.name for path in quantised.int8.parent.iterdir()) == names


def test_inputs_names_and_notes_are_those_of_the_float32_file(quantised: Quantised) -> None:
    if quantised.float32 is None:
        signature = Interpreter(model_path=str(quantised.int8)).get_signature_runner()
        inputs = signature.get_input_details().values()
        assert [each["dtype"] for each in inputs] == [np.float32] * len(inputs)
        shapes = {tuple(each["shape_signature"]) for each in inputs}
        assert (
            shapes
            == {
                "patch": {(-1, PX, PX, 3)},
                "refinement": {(1, -1, -1, 3), (1, -1, -1, CLASSES - 1)},
            }[quantised.name]
        )
        return
    describe = describe_onnx if quantised.int8.suffix == ".onnx" else describe_openvino
    described = describe(quantised.int8)
    assert described == describe(quantised.float32)
    assert described["notes"] == ABOUT


def test_nothing_is_printed_and_nothing_reported(
    patch: tuple[DrawnGraph, list[Feed]], tmp_path: Path
) -> None:
    """In a process of its own: nncf reports nothing where pytest is loaded."""
    graph, feeds = patch
    write_onnx(graph.model, tmp_path / "patch.onnx")
    write_openvino(graph.model, tmp_path / "patch.xml")
    np.save(tmp_path / "patches.npy", np.stack([feed[PATCH_INPUT] for feed in feeds]))
    code = f"""
import json
from pathlib import Path
from h2g.models.startup import start_keras
start_keras()
import numpy as np
from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, PATCH_INPUT, Feed
from h2g.exporters.quantization import quantise_onnx, quantise_openvino
folder = Path({json.dumps(str(tmp_path))})
feeds = [{{"{PATCH_INPUT}": patch}} for patch in np.load(folder / "patches.npy")]
quantise_onnx(folder / "patch.onnx", folder / "int8.onnx", feeds)
quantise_openvino(folder / "patch.xml", folder / "int8.xml", feeds)
from nncf.telemetry import telemetry
print(type(telemetry).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "MagicMock\n"
    assert done.stderr == ""


def small_classifier() -> keras.Model:
    """Four convolutions (one of them depthwise, two around a sum) and the classifiers' head."""
    image = keras.Input((PX, PX, 3), name="patch")
    x = conv_bn_relu(image, 8, momentum=0.9, name="first")
    x = keras.layers.MaxPooling2D()(x)
    y = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = keras.layers.BatchNormalization()(y)
    y = conv_bn_relu(keras.layers.ReLU(6)(y), 8, size=1, momentum=0.9, name="second")
    x = keras.layers.Add()([x, y])
    x = conv_bn_relu(x, 16, momentum=0.9, name="third")
    return keras.Model(image, classifier_head(x, CLASSES, dropout=0.5))


def draw_head(network: keras.Model, patches: np.ndarray, rng: np.random.Generator) -> None:
    """Features whose scales span three orders of magnitude, as a trained head has them, with the
    statistics that training would have found."""
    dense, norm = network.get_layer("head_dense"), network.get_layer("head_bn")
    last = network.get_layer("output_0_probabilities")
    dense.kernel.assign(dense.kernel * 10 ** rng.uniform(-1.5, 0.5, (1, 100)))
    features = keras.Model(network.input, network.get_layer("head_relu").output)
    values = features.predict_on_batch(patches.astype(np.float32) / 255)
    norm.moving_mean.assign(values.mean(axis=0))
    norm.moving_variance.assign(values.var(axis=0))
    # Features of a millionth count as much as the others.
    norm.epsilon = 1e-9
    last.kernel.assign(0.15 * rng.normal(size=(100, CLASSES)))


def draw_patches(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, PX, PX, 3) uint8, each of a colour of its own with noise."""
    colours = rng.integers(40, 216, (count, 1, 1, 3))
    noise = rng.normal(0, 15, (count, PX, PX, 3))
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


def draw_slide(rng: np.random.Generator, height: int, width: int, rows: int, cols: int) -> Feed:
    image = rng.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    heatmap = rng.dirichlet(np.full(CLASSES, 0.3), (1, rows, cols))[..., 1:]
    return {IMAGE_INPUT: image, HEATMAP_INPUT: heatmap.astype(np.float32)}


def graph_on(model: keras.Model, inputs: list[Feed]) -> DrawnGraph:
    feeds = [{name: values.astype(np.float32) for name, values in each.items()} for each in inputs]
    return DrawnGraph(model, feeds, [keras_outputs(model, feed) for feed in feeds])


def onnx_int8_convolutions(file: Path) -> int:
    graph = onnx.load(file).graph
    makers = {output: node for node in graph.node for output in node.output}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    count = 0
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in makers:
            weights, scales = (tensors[name] for name in makers[node.input[1]].input[:2])
            # And what it takes in is in int8, too.
            assert makers[node.input[0]].op_type == "DequantizeLinear"
            assert list(scales.dims) == [weights.dims[0]]
            count += weights.data_type == onnx.TensorProto.INT8
        if node.op_type in ("Resize", "Softmax"):
            assert makers.get(node.input[0], node).op_type != "DequantizeLinear"
    return count


def openvino_int8_convolutions(file: Path) -> int:
    count = 0
    for node in openvino.Core().read_model(file).get_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution"):
            weights, scales = node.input_value(1).get_node(), 0
            while weights.get_type_name() != "Constant":
                if weights.get_type_name() == "Multiply":
                    scales = weights.input_value(1).get_shape()
                weights = weights.input_value(0).get_node()
            assert np.prod(scales) == node.get_output_partial_shape(0)[1].get_length()
            count += weights.get_element_type() == openvino.Type.i8
            taken = node.input_value(0).get_node()
            while taken.get_type_name() in ("Transpose", "Reshape", "Pad", "MaxPool", "Tile"):
                taken = taken.input_value(0).get_node()
            assert taken.get_type_name() in ("FakeQuantize", "Concat")
        if node.get_type_name() in ("Interpolate", "Softmax"):
            assert node.input_value(0).get_node().get_type_name() != "FakeQuantize"
    return count


def tflite_int8_convolutions(file: Path) -> int:
    interpreter = Interpreter(model_path=str(file))
    tensors = {each["index"]: each for each in interpreter.get_tensor_details()}
    count = 0
    # The runtime has no public list of a network's operators.
    for operator in interpreter._get_ops_details():
        taken = [tensors[place] for place in operator["inputs"] if place in tensors]
        if operator["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            weights = taken[1]
            channels = weights["shape"][3 if operator["op_name"] != "CONV_2D" else 0]
            assert len(weights["quantization_parameters"]["scales"]) == channels
            assert taken[0]["dtype"] == np.int8
            count += weights["dtype"] == np.int8
        if operator["op_name"] in ("RESIZE_BILINEAR", "SOFTMAX", "FULLY_CONNECTED"):
            assert taken[0]["dtype"] == np.float32
    return count


def describe_onnx(file: Path) -> dict[str, object]:
    network = onnx.load(file)

    def shapes(tensors: list[onnx.ValueInfoProto]) -> dict[str, list[int | str]]:
        return {
            tensor.name: [
                size.dim_param or size.dim_value for size in tensor.type.tensor_type.shape.dim
            ]
            for tensor in tensors
        }

    return {
        "inputs": shapes(network.graph.input),
        "outputs": shapes(network.graph.output),
        "graph": network.graph.name,
        "opset": {each.domain: each.version for each in network.opset_import}[""],
        "domains": {node.domain for node in network.graph.node},
        "notes": {each.key: each.value for each in network.metadata_props},
    }


def describe_openvino(file: Path) -> dict[str, object]:
    network = openvino.Core().read_model(file)
    return {
        "inputs": {each.any_name: str(each.partial_shape) for each in network.inputs},
        "outputs": {each.any_name: str(each.partial_shape) for each in network.outputs},
        "notes": {key: network.get_rt_info(["h2g", key]).astype(str) for key in ABOUT},
    }
