from __future__ import annotations

import os
from pathlib import Path

import onnx
import onnxruntime
import pytest

from h2g.errors import WrongUseError
from h2g.exporters.to_onnx import write_onnx
from tests.exporters.bare_runtimes import run_onnx
from tests.exporters.drawn_graphs import DrawnGraph, small_patch_graph, small_refinement_graph


@pytest.fixture(scope="module")
def patch() -> DrawnGraph:
    return small_patch_graph()


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_every_opset_computes_what_keras_does(
    patch: DrawnGraph, opset: int, tmp_path: Path
) -> None:
    refinement = small_refinement_graph()
    for graph, limit in ((patch, 1e-4), (refinement, 1e-3)):
        file = tmp_path / "network.onnx"
        write_onnx(graph.model, file, opset=opset)
        network = onnx.load(file)
        assert {each.domain: each.version for each in network.opset_import}[""] == opset
        onnx.checker.check_model(network, full_check=True)
        assert graph.largest_difference(run_onnx(file, graph.feeds)) < limit


@pytest.mark.parametrize("opset", [12, 19])
def test_other_opsets_are_refused(patch: DrawnGraph, opset: int, tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match=rf"opset {opset} .* --opset 13 to 18\."):
        write_onnx(patch.model, tmp_path / "patch.onnx", opset=opset)
    assert list(tmp_path.iterdir()) == []


def test_sizes_are_free_where_the_graphs_are(patch: DrawnGraph, tmp_path: Path) -> None:
    write_onnx(patch.model, tmp_path / "patch.onnx")
    assert shapes(tmp_path / "patch.onnx") == (
        {"input_0_patch": ["batch", 32, 32, 3]},
        {"output_0_probabilities": ["batch", 3]},
    )
    graph = small_refinement_graph(spacing_frame=True)
    write_onnx(graph.model, tmp_path / "refinement.onnx")
    inputs, outputs = shapes(tmp_path / "refinement.onnx")
    assert inputs == {
        "input_0_image": [1, "input_0_image_height", "input_0_image_width", 3],
        "input_1_heatmap": [1, "input_1_heatmap_height", "input_1_heatmap_width", 2],
        "input_2_frame": [1, 16, 16, 3],
    }
    assert outputs == {"output_0_segmentation": [1, 16, 16, 3]}
    # FAST numbers its ports by the sorted names, other hosts by the order in the file.
    assert list(inputs) == sorted(inputs)
    assert graph.largest_difference(run_onnx(tmp_path / "refinement.onnx", graph.feeds)) < 1e-3


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    graph = small_patch_graph(batch_size=1)
    write_onnx(graph.model, tmp_path / "patch.onnx")
    assert shapes(tmp_path / "patch.onnx") == (
        {"input_0_patch": [1, 32, 32, 3]},
        {"output_0_probabilities": [1, 3]},
    )
    assert graph.largest_difference(run_onnx(tmp_path / "patch.onnx", graph.feeds)) < 1e-4


def test_one_whole_file_with_properties(
    patch: DrawnGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF2ONNX_CATCH_ERRORS", "TRUE")
    file = tmp_path / "folder" / "patch.onnx"
    for name in ("first", "second"):  # over the first
        write_onnx(patch.model, file, metadata={"name": name, "class_names": "a,b,c"})
    assert [each.name for each in file.parent.iterdir()] == ["patch.onnx"]
    session = onnxruntime.InferenceSession(file)
    assert session.get_modelmeta().custom_metadata_map == {"name": "second", "class_names": "a,b,c"}
    assert os.environ["TF2ONNX_CATCH_ERRORS"] == "TRUE"


def shapes(file: Path) -> tuple[dict[str, list], dict[str, list]]:
    """Of inputs and outputs, by name, in the file's order."""
    session = onnxruntime.InferenceSession(file)
    inputs = {each.name: each.shape for each in session.get_inputs()}
    return inputs, {each.name: each.shape for each in session.get_outputs()}
