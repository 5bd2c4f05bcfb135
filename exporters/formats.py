"""The file formats of exported networks: how each is written, and the engine that reads it.

To add a format, write its module and add one row to FILE_FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from h2g.engines.engine import Feed, Network, open_network
from h2g.engines.specs import engine_of_format
from h2g.errors import WrongUseError
from h2g.exporters.quantization import quantise_onnx, quantise_openvino, quantise_tflite
from h2g.exporters.samples import Samples
from h2g.exporters.source import Graph
from h2g.exporters.to_onnx import write_onnx
from h2g.exporters.to_openvino import write_openvino
from h2g.exporters.to_tflite import write_tflite
from h2g.folders.bundle import FilePrecision, Format
from h2g.stages.chain import NETWORKS


@dataclass(frozen=True)
class WriteOptions:
    """How a file is written; a format ignores what it has no use for.

    Attributes:
        metadata: written into the file, where the format has a place for it.
    """

    precision: Literal["float32", "float16"]
    opset: int
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class FileFormat:
    """One file format of single networks.

    Attributes:
        suffix: suffix of the file that an engine opens.
        write: writes a graph to a file.
        quantise: writes a graph in int8: (graph, its float32 file, new file, inputs to measure on).
        converts_onnx: whether ``write`` also takes an ONNX file as a graph.
    """

    suffix: str
    write: Callable[[Any, Path, WriteOptions], None]
    quantise: Callable[[Graph, Path, Path, Sequence[Feed]], None]
    converts_onnx: bool = False


def _onnx(graph: Any, file: Path, options: WriteOptions) -> None:
    write_onnx(graph, file, opset=options.opset, metadata=options.metadata)


def _openvino(graph: Any, file: Path, options: WriteOptions) -> None:
    write_openvino(graph, file, precision=options.precision, info=options.metadata)


def _tflite(graph: Any, file: Path, options: WriteOptions) -> None:
    write_tflite(graph, file, precision=options.precision)


FILE_FORMATS: dict[Format, FileFormat] = {
    "onnx": FileFormat(
        suffix=".onnx",
        write=_onnx,
        quantise=lambda _, float32, file, feeds: quantise_onnx(float32, file, feeds),
    ),
    "openvino": FileFormat(
        suffix=".xml",
        write=_openvino,
        quantise=lambda _, float32, file, feeds: quantise_openvino(float32, file, feeds),
        converts_onnx=True,
    ),
    "tflite": FileFormat(
        suffix=".tflite",
        write=_tflite,
        quantise=lambda graph, _, file, feeds: quantise_tflite(graph, file, feeds),
    ),
}


def engine_of_files(format: Format) -> str:
    """The engine that runs a format's files here; FAST's networks are ONNX files."""
    return engine_of_format("onnx" if format == "fast" else format)


def network_files(
    names: Iterable[str], folder: Path, *, format: Format, precision: FilePrecision
) -> dict[str, Path]:
    """The file that an engine opens, by network, for a format other than ``fast``."""
    infix = "" if precision == "float32" else f".{precision}"
    return {name: folder / f"{name}{infix}{FILE_FORMATS[format].suffix}" for name in names}


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
    kind = FILE_FORMATS[format]
    if isinstance(graph, Path) and not kind.converts_onnx:
        able = [name for name, each in FILE_FORMATS.items() if each.converts_onnx]
        raise WrongUseError(
            f"{graph}: ONNX files can only be converted to --format {' or '.join(able)}."
        )
    kind.write(graph, file, WriteOptions(precision, opset, metadata))


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
        FILE_FORMATS[format].quantise(graph, float32[name], files[name], samples.feeds[name])
    return files


def open_exported(
    networks: Mapping[str, Path], *, format: Format, precision: FilePrecision
) -> dict[str, Network]:
    """An export's networks, opened on this CPU; float16 weights are computed in float32."""
    return {
        name: open_network(
            file,
            engine=engine_of_files(format),
            precision="int8" if precision == "int8" else "float32",
            many=NETWORKS[name].many,
        )
        for name, file in networks.items()
    }
