from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from h2g.exporters.to_tflite import write_tflite
from tests.exporters.bare_runtimes import run_tflite
from tests.exporters.drawn_graphs import DrawnGraph, small_patch_graph, small_refinement_graph


@pytest.fixture(scope="module")
def patch() -> DrawnGraph:
    return small_patch_graph()


@pytest.fixture(scope="module")
def patch_file(patch: DrawnGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tflite") / "folder" / "patch.tflite"
    write_tflite(patch.model, file)
    return file


def test_patch_graph_takes_every_batch(patch: DrawnGraph, patch_file: Path) -> None:
    assert signature(patch_file) == (
        {"input_0_patch": [-1, 32, 32, 3]},
        {"output_0_probabilities": [-1, 3]},
    )
    assert patch.largest_difference(run_tflite(patch_file, patch.feeds)) < 1e-4
    assert [each.name for each in patch_file.parent.iterdir()] == ["patch.tflite"]


def test_inputs_can_be_resized_by_index(patch: DrawnGraph, patch_file: Path) -> None:
    interpreter = Interpreter(model_path=str(patch_file))
    found = []
    for feed in patch.feeds:
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, feed["input_0_patch"].shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(index, feed["input_0_patch"])
        interpreter.invoke()
        output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        found.append({"output_0_probabilities": output})
    assert patch.largest_difference(found) < 1e-4


def test_refinement_graph_takes_every_size(tmp_path: Path) -> None:
    graph = small_refinement_graph(spacing_frame=True)
    write_tflite(graph.model, tmp_path / "refinement.tflite")
    inputs, outputs = signature(tmp_path / "refinement.tflite")
    assert inputs == {
        "input_0_image": [1, -1, -1, 3],
        "input_1_heatmap": [1, -1, -1, 2],
        "input_2_frame": [1, 16, 16, 3],
    }
    assert list(inputs) == sorted(inputs)
    assert outputs == {"output_0_segmentation": [1, 16, 16, 3]}
    assert graph.largest_difference(run_tflite(tmp_path / "refinement.tflite", graph.feeds)) < 1e-3


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    graph = small_patch_graph(batch_size=1)
    write_tflite(graph.model, tmp_path / "patch.tflite")
    assert signature(tmp_path / "patch.tflite")[0] == {"input_0_patch": [1, 32, 32, 3]}
    assert graph.largest_difference(run_tflite(tmp_path / "patch.tflite", graph.feeds)) < 1e-4


def test_float16_halves_the_weights_alone(
    patch: DrawnGraph, patch_file: Path, tmp_path: Path
) -> None:
    half = tmp_path / "patch.float16.tflite"
    write_tflite(patch.model, half, precision="float16")
    assert signature(half) == signature(patch_file)
    weights = 4 * patch.model.count_params()
    assert patch_file.stat().st_size - half.stat().st_size > 0.4 * weights
    # float32 in and out is checked with the values; 10 bits of mantissa in some 50 layers.
    assert 1e-6 < patch.largest_difference(run_tflite(half, patch.feeds)) < 1e-2


def signature(file: Path) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Shapes of inputs and outputs, by name; -1 is any size."""
    interpreter = Interpreter(model_path=str(file))
    assert list(interpreter.get_signature_list()) == ["serving_default"]
    runner = interpreter.get_signature_runner()
    details = runner.get_input_details(), runner.get_output_details()
    assert all(each["dtype"] is np.float32 for part in details for each in part.values())
    inputs, outputs = (
        {name: [int(side) for side in each["shape_signature"]] for name, each in part.items()}
        for part in details
    )
    return inputs, outputs
