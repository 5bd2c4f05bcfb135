from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONVERT = """
import logging
from h2g.models.startup import start_keras
start_keras()
from tests.exporters.drawn_graphs import small_patch_graph, small_refinement_graph
from h2g.exporters.to_onnx import write_onnx
from h2g.exporters.to_openvino import write_openvino
from h2g.exporters.to_tflite import write_tflite
from pathlib import Path
logging.basicConfig(level=logging.WARNING)  # as the command line does
home = Path.home()
for graph in (small_patch_graph(), small_refinement_graph()):
    write_onnx(graph.model, home / "network.onnx")
    write_openvino(graph.model, home / "network.xml")
    write_openvino(home / "network.onnx", home / "network.xml")
    write_tflite(graph.model, home / "network.tflite")
"""


def test_converters_neither_print_nor_report_home(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for name in ("CI", "TF_BUILD", "JENKINS_URL"):  # where OpenVINO keeps quiet by itself
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", CONVERT], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {"network.onnx", "network.xml", "network.bin", "network.tflite"} <= {
        each.name for each in tmp_path.iterdir()
    }
    # There OpenVINO keeps the number under which it reports its use.
    assert not (tmp_path / "intel").exists()
