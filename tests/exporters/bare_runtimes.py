"""Exported files run by their runtimes directly, inputs and outputs by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import openvino
from ai_edge_litert.interpreter import Interpreter

Arrays = dict[str, np.ndarray]


def run_onnx(file: Path, feeds: list[Arrays]) -> list[Arrays]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, feed), strict=True)) for feed in feeds]


def run_openvino(file: Path, feeds: list[Arrays]) -> list[Arrays]:
    network = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [{key.any_name: value for key, value in network(feed).items()} for feed in feeds]


def run_tflite(file: Path, feeds: list[Arrays]) -> list[Arrays]:
    signature = Interpreter(model_path=str(file)).get_signature_runner("serving_default")
    return [dict(signature(**feed)) for feed in feeds]


RUN = {".onnx": run_onnx, ".xml": run_openvino, ".tflite": run_tflite}


def run_file(file: Path, feeds: list[Arrays]) -> list[Arrays]:
    """The outputs of every feed, one after the other in one session."""
    return RUN[file.suffix](file, feeds)
