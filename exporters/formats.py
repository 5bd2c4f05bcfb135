"""The formats: how files of each are written, and the engine that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from h2g.engines.engine import Network, open_network
from h2g.errors import WrongUseError
from h2g.exporters.quantization import quantise_onnx, quantise_openvino, quantise_tflite
from h2g.exporters.samples import Samples
from h2g.exporters.source import Graph
from h2g.exporters.to_onnx import write_onnx
from h2g.exporters.to_openvino import write_openvino
from h2g.exporters.to_tflite import write_tflite
from h2g.folders.bundle import FilePrecision, Format
from h2g.stages.chain import NETWORKS

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "tflite": ".tflite"}
# The engine that runs each format here; FAST's networks are ONNX files.
ENGINE_OF_FORMAT: dict[Format, str] = {
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "tflite": "tflite",
    "fast": "onnxruntime",
}


def network_files(
    names: Iterable[str], folder: Path, *, format: Format, precision: FilePrecision
) -> dict[str, Path]:
    """The file that an engine opens, by network, for a format other than ``fast``."""
    infix = "" if precision == "float32" else f".{precision}"
    return {name: folder / f"{name}{infix}{SUFFIXES[format]}" for name in names}


def write_networks(
    graphs: Mapping[str, Graph],
    folder: Path,
    *,
    format: Format,
    precision: Literal["float32", "float16"],
    opset: int,
    metadata: Mapping[str, str],
) -> dict[str, Path]:
    """Writes a format other than ``fast`` in floating point.

    Args:
        folder: created; holds only these files afterwards.
        metadata: written into each file, with the name of its stage.
    Returns:
        See :func:`network_files`.
    Raises:
        ModelError, WrongUseError: this format cannot hold a graph.
    """
    folder.mkdir(parents=True)
    files = network_files(graphs, folder, format=format, precision=precision)
    for name, graph in graphs.items():
        about = {**metadata, "stage": name}
        write_network(
            graph, files[name], format=format, precision=precision, opset=opset, metadata=about
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
    """Writes one graph in a format other than ``fast``; OpenVINO adds a .bin file.

    Raises:
        ModelError, WrongUseError: this format cannot hold the graph.
    """
    if format == "openvino":
        write_openvino(graph, file, precision=precision, info=metadata)
    elif isinstance(graph, Path):
        raise WrongUseError(f"{graph}: ONNX files can only be converted to --format openvino.")
    elif format == "onnx":
        write_onnx(graph, file, opset=opset, metadata=metadata)
    elif format == "tflite":
        write_tflite(graph, file, precision=precision)


def quantise_networks(
    graphs: Mapping[str, Graph],
    float32: Mapping[str, Path],
    folder: Path,
    *,
    format: Format,
    samples: Samples,
) -> dict[str, Path]:
    """Writes a format other than ``fast`` in int8.

    Args:
        float32: the float32 files of the same format.
        folder: created; holds only these files afterwards.
        samples: inputs to measure the ranges on.
    Returns:
        See :func:`network_files`.
    """
    folder.mkdir(parents=True)
    files = network_files(graphs, folder, format=format, precision="int8")
    for name, graph in graphs.items():
        feeds = samples.feeds[name]
        if format == "onnx":
            quantise_onnx(float32[name], files[name], feeds)
        elif format == "openvino":
            quantise_openvino(float32[name], files[name], feeds)
        elif format == "tflite":
            quantise_tflite(graph, files[name], feeds)
    return files


def open_exported(
    networks: Mapping[str, Path], *, format: Format, precision: FilePrecision
) -> dict[str, Network]:
    """An export's networks, opened on this CPU; float16 weights are computed in float32."""
    return {
        name: open_network(
            file,
            engine=ENGINE_OF_FORMAT[format],
            precision="int8" if precision == "int8" else "float32",
            many=NETWORKS[name].many,
        )
        for name, file in networks.items()
    }
