"""Each format: how its files are written, and the engine that reads them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import keras

from h2g.bundle import Card, FilePrecision, Format, Stage
from h2g.errors import WrongUseError
from h2g.exporters.quantization import quantise_onnx, quantise_openvino, quantise_tflite
from h2g.exporters.samples import Samples
from h2g.exporters.source import ExportSource, deployed_patch, deployed_refinement_of
from h2g.exporters.to_onnx import write_onnx
from h2g.exporters.to_openvino import write_openvino
from h2g.exporters.to_tflite import write_tflite
from h2g.inference.engine import Engine, NetworkFiles
from h2g.inference.onnx_engine import OnnxEngine
from h2g.inference.openvino_engine import OpenVinoEngine
from h2g.inference.tflite_engine import TfliteEngine

# A deployed graph: in Keras, or as an .onnx file of an earlier export.
Graph: TypeAlias = "keras.Model | Path"

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "tflite": ".tflite"}
ENGINES: dict[Format, Callable[..., Engine]] = {
    "onnx": OnnxEngine,
    "openvino": OpenVinoEngine,
    "tflite": TfliteEngine,
    "fast": OnnxEngine,
}


def deployed_graphs(source: ExportSource) -> dict[Stage, Graph]:
    """The graphs of a source's networks."""
    files: dict[Stage, Path | None] = {
        "patch": source.files.patch,
        "refinement": source.files.refinement,
    }
    graphs: dict[Stage, Graph] = {}
    for stage, file in files.items():
        if file is None:
            continue
        if file.suffix == ".onnx":
            graphs[stage] = file
        elif stage == "patch":
            graphs[stage] = deployed_patch(source)
        else:
            graphs[stage] = deployed_refinement_of(source)
    return graphs


def network_files(
    stages: Iterable[Stage], folder: Path, *, format: Format, precision: FilePrecision
) -> dict[Stage, Path]:
    """By stage, the file that an engine opens, of a format other than ``fast``."""
    infix = "" if precision == "float32" else f".{precision}"
    return {stage: folder / f"{stage}{infix}{SUFFIXES[format]}" for stage in stages}


def write_networks(
    graphs: Mapping[Stage, Graph],
    folder: Path,
    *,
    format: Format,
    precision: Literal["float32", "float16"],
    opset: int,
    metadata: Mapping[str, str],
) -> dict[Stage, Path]:
    """Writes a format other than ``fast`` in floating point.

    Args:
        folder: is made; holds nothing but these files afterwards.
        metadata: goes into each file, with its stage.
    Returns:
        As :func:`network_files`.
    Raises:
        ModelError, WrongUseError: a graph that this format cannot hold.
    """
    folder.mkdir(parents=True)
    files = network_files(graphs, folder, format=format, precision=precision)
    for stage, graph in graphs.items():
        about = {**metadata, "stage": stage}
        write_network(
            graph, files[stage], format=format, precision=precision, opset=opset, metadata=about
        )
    return files


def write_network(
    graph: Graph,
    file: Path,
    *,
    format: Format,
    precision: Literal["float32", "float16"] = "float32",
    opset: int,
    metadata: Mapping[str, str] = {},
) -> None:
    """Writes one graph in a format other than ``fast``; OpenVINO's has a .bin beside it.

    Raises:
        ModelError, WrongUseError: a graph that this format cannot hold.
    """
    if format == "openvino":
        write_openvino(graph, file, precision=precision, info=metadata)
    elif isinstance(graph, Path):
        raise WrongUseError(f"{graph}: ONNX files are converted to --format openvino alone.")
    elif format == "onnx":
        write_onnx(graph, file, opset=opset, metadata=metadata)
    elif format == "tflite":
        write_tflite(graph, file, precision=precision)


def quantise_networks(
    graphs: Mapping[Stage, Graph],
    float32: Mapping[Stage, Path],
    folder: Path,
    *,
    format: Format,
    samples: Samples,
) -> dict[Stage, Path]:
    """Writes a format other than ``fast`` in int8.

    Args:
        float32: the files of the same format in float32.
        folder: is made; holds nothing but these files afterwards.
        samples: what the ranges are measured on.
    Returns:
        As :func:`network_files`.
    """
    folder.mkdir(parents=True)
    files = network_files(graphs, folder, format=format, precision="int8")
    for stage, graph in graphs.items():
        if format == "onnx":
            quantise_onnx(float32[stage], files[stage], samples, stage=stage)
        elif format == "openvino":
            quantise_openvino(float32[stage], files[stage], samples, stage=stage)
        elif format == "tflite":
            quantise_tflite(graph, files[stage], samples, stage=stage)
    return files


def open_engine(
    networks: Mapping[Stage, Path], card: Card, *, format: Format, precision: FilePrecision
) -> Engine:
    """The engine that runs an export's files on this CPU; float16 weights in float32 arithmetic."""
    files = NetworkFiles(
        patch=networks.get("patch"),
        refinement=networks.get("refinement"),
        input_px=card.refinement_px,
        class_count=len(card.class_names),
    )
    return ENGINES[format](files, precision="int8" if precision == "int8" else "float32")
