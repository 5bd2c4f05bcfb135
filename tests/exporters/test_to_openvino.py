from __future__ import annotations

from pathlib import Path

import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from h2g.errors import ModelError
from h2g.exporters.to_onnx import write_onnx
from h2g.exporters.to_openvino import write_openvino
from tests.exporters.bare_runtimes import run_openvino
from tests.exporters.drawn_graphs import DrawnGraph, small_patch_graph, small_refinement_graph


@pytest.fixture(scope="module")
def patch() -> DrawnGraph:
    return small_patch_graph()


@pytest.fixture(scope="module")
def refinement() -> DrawnGraph:
    return small_refinement_graph(spacing_frame=True)


@pytest.mark.parametrize("source", ["keras", "onnx"])
def test_names_sizes_and_values_of_the_graph(
    patch: DrawnGraph, refinement: DrawnGraph, source: str, tmp_path: Path
) -> None:
    graphs = {"patch": (patch, 1e-4), "refinement": (refinement, 1e-3)}
    for name, (graph, limit) in graphs.items():
        file = tmp_path / f"{name}.xml"
        if source == "onnx":
            write_onnx(graph.model, file.with_suffix(".onnx"))
        write_openvino(graph.model if source == "keras" else file.with_suffix(".onnx"), file)
        assert graph.largest_difference(run_openvino(file, graph.feeds)) < limit
    assert shapes(tmp_path / "patch.xml") == (
        {"input_0_patch": "[?,32,32,3]"},
        {"output_0_probabilities": "[?,3]"},
    )
    inputs, outputs = shapes(tmp_path / "refinement.xml")
    assert inputs == {
        "input_0_image": "[1,?,?,3]",
        "input_1_heatmap": "[1,?,?,2]",
        "input_2_frame": "[1,16,16,3]",
    }
    assert outputs == {"output_0_segmentation": "[1,16,16,3]"}
    assert list(inputs) == sorted(inputs)


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    graph = small_patch_graph(batch_size=1)
    write_openvino(graph.model, tmp_path / "patch.xml")
    assert shapes(tmp_path / "patch.xml")[0] == {"input_0_patch": "[1,32,32,3]"}
    assert graph.largest_difference(run_openvino(tmp_path / "patch.xml", graph.feeds)) < 1e-4


def test_two_whole_files_with_information(patch: DrawnGraph, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "patch.xml"
    for name in ("first", "second"):  # over the first
        write_openvino(patch.model, file, info={"name": name, "class_names": "a,b,c"})
    assert sorted(each.name for each in file.parent.iterdir()) == ["patch.bin", "patch.xml"]
    network = openvino.Core().read_model(file)
    assert network.get_rt_info(["h2g", "name"]).value == "second"
    assert network.get_rt_info(["h2g", "class_names"]).value == "a,b,c"


def test_weights_are_stored_in_float32_with_batch_norms_folded(
    patch: DrawnGraph, tmp_path: Path
) -> None:
    write_openvino(patch.model, tmp_path / "patch.xml")
    network = openvino.Core().read_model(tmp_path / "patch.xml")
    constants = [node for node in network.get_ops() if node.get_type_name() == "Constant"]
    assert openvino.Type.f16 not in {node.get_element_type() for node in constants}
    # Of a batch norm's scale and offset only the offset is left.
    kinds = [node.get_type_name() for node in network.get_ops()]
    assert kinds.count("Multiply") < kinds.count("Add")


def test_float16_halves_the_weights_alone(patch: DrawnGraph, tmp_path: Path) -> None:
    write_openvino(patch.model, tmp_path / "patch.xml")
    write_openvino(patch.model, tmp_path / "patch.float16.xml", precision="float16")
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "patch.bin",
        "patch.float16.bin",
        "patch.float16.xml",
        "patch.xml",
    ]
    sizes = [(tmp_path / name).stat().st_size for name in ("patch.float16.bin", "patch.bin")]
    assert sizes[0] < 0.6 * sizes[1]
    found = run_openvino(tmp_path / "patch.float16.xml", patch.feeds)
    # float32 in and out is checked with the values; 10 bits of mantissa in some 50 layers.
    assert 1e-6 < patch.largest_difference(found) < 1e-2


def test_files_that_are_no_onnx_network_are_sentences(patch: DrawnGraph, tmp_path: Path) -> None:
    good = tmp_path / "good.onnx"
    write_onnx(patch.model, good)
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "cut.onnx").write_bytes(good.read_bytes()[:-1000])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    node = helper.make_node("Nonsense", ["x"], ["y"], domain="foreign")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("foreign", 1)]
    graph = helper.make_graph([node], "foreign", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "foreign.onnx")
    for name, reason in (
        ("absent", "there is no such model file"),
        ("text", r"not an ONNX network that OpenVINO can convert \(.+\)\. Copy or export"),
        ("cut", "not an ONNX network that OpenVINO can convert"),
        ("foreign", "No conversion rule found for operations: foreign.Nonsense"),
    ):
        with pytest.raises(ModelError, match=rf"{name}\.onnx: .*{reason}"):
            write_openvino(tmp_path / f"{name}.onnx", tmp_path / "out" / "patch.xml")
    assert not (tmp_path / "out").exists()


def shapes(file: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Of inputs and outputs, by name, in the file's order."""
    network = openvino.Core().read_model(file)
    inputs = {each.any_name: str(each.partial_shape) for each in network.inputs}
    return inputs, {each.any_name: str(each.partial_shape) for each in network.outputs}
