"""A deployed Keras graph, or an ONNX file of one, to OpenVINO's .xml and .bin.

Not by openvino.convert_model, which takes ``--verbose`` on any program's command line for its own:
its two steps, reading and folding, are taken here by themselves.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import keras

from h2g.engines.openvino_library import openvino
from h2g.errors import ModelError
from h2g.exporters.tracing import saved_model
from h2g.quiet import without_chatter

INFO = "h2g"


def write_openvino(
    model: keras.Model | Path,
    path: Path,
    *,
    precision: Literal["float32", "float16"] = "float32",
    info: Mapping[str, str] = {},
) -> None:
    """Writes a graph as ``path`` and the .bin beside it.

    Input and output names are the graph's; sizes that are free there are free here.

    Args:
        model: a deployed Keras graph, or an .onnx file.
        path: ends in .xml.
        precision: of the stored weights; inputs, outputs and, unless an engine is told otherwise,
            arithmetic are float32 either way.
        info: goes into the model's ``rt_info`` below ``h2g``.
    Raises:
        ModelError: an .onnx file that OpenVINO cannot read.
    """
    if isinstance(model, Path):
        _write(_read_onnx(model), path, precision, info)
        return
    with saved_model(model) as folder:
        with without_chatter():
            network = openvino.Core().read_model(folder)
        # Inside the block: weights are read from the folder when they are needed.
        _write(network, path, precision, info)


def _read_onnx(file: Path) -> openvino.Model:
    if not file.is_file():
        raise ModelError(f"{file}: there is no such model file.")
    try:
        # Other readers, which are tried on what is no ONNX file, log what they think of it.
        with without_chatter():
            return openvino.Core().read_model(file)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ModelError(
            f"{file}: not an ONNX network that OpenVINO can convert ({reason}). Copy or export the "
            "file anew."
        ) from error


def _write(network: openvino.Model, path: Path, precision: str, info: Mapping[str, str]) -> None:
    # Folds constants and batch norms, which halves the time that an engine takes to load it.
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(network, cf=False, smart_reshape=True)
    for key, value in info.items():
        network.set_rt_info(value, [INFO, key])
    save_network(network, path, half=precision == "float16")


def save_network(network: openvino.Model, path: Path, *, half: bool = False) -> None:
    """Writes ``path`` (.xml) and the .bin beside it, each whole or not at all.

    Args:
        half: stores float32 constants in float16, as OpenVINO does unless it is told not to.
    Raises:
        ModelError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        written = Path(folder) / path.name
        try:
            openvino.save_model(network, written, compress_to_fp16=half)
        except RuntimeError as error:  # "iostream error" is all that it says of a full disk
            raise ModelError(
                f"{path}: cannot be written ({error}). Is there space left on the disk?"
            ) from error
        # The .xml last: it is what engines open.
        for suffix in (".bin", ".xml"):
            os.replace(written.with_suffix(suffix), path.with_suffix(suffix))
