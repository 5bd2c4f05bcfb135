"""Export of a deployed Keras graph, or of its ONNX file, to OpenVINO's .xml and .bin.

openvino.convert_model is not used, because it reads ``--verbose`` from any program's command line.
Its two steps, reading and folding, are called here directly.
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

    Input and output names are those of the graph; its free sizes stay free.

    Args:
        model: a deployed Keras graph, or an .onnx file.
        path: the .xml file.
        precision: precision of the stored weights; inputs, outputs and, by default, arithmetic are
            float32 either way.
        info: written into the model's ``rt_info`` under ``h2g``.
    Raises:
        ModelError: OpenVINO cannot read the .onnx file.
    """
    if isinstance(model, Path):
        _write(_read_onnx(model), path, precision, info)
        return
    with saved_model(model) as folder:
        with without_chatter():
            network = openvino.Core().read_model(folder)
        # Inside the block, because weights are read from the folder only when needed.
        _write(network, path, precision, info)


def _read_onnx(file: Path) -> openvino.Model:
    if not file.is_file():
        raise ModelError(f"{file}: there is no such model file.")
    try:
        # OpenVINO tries other readers on a file that is not ONNX, and they log their errors.
        with without_chatter():
            return openvino.Core().read_model(file)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ModelError(
            f"{file}: not an ONNX network that OpenVINO can convert ({reason}). Copy or export the "
            "file again."
        ) from error


def _write(network: openvino.Model, path: Path, precision: str, info: Mapping[str, str]) -> None:
    # Folds constants and batch norms, which halves an engine's loading time.
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(network, cf=False, smart_reshape=True)
    for key, value in info.items():
        network.set_rt_info(value, [INFO, key])
    save_network(network, path, half=precision == "float16")


def save_network(network: openvino.Model, path: Path, *, half: bool = False) -> None:
    """Writes ``path`` (.xml) and the .bin beside it, each completely or not at all.

    Args:
        half: store float32 constants in float16, which is OpenVINO's default.
    Raises:
        ModelError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        written = Path(folder) / path.name
        try:
            openvino.save_model(network, written, compress_to_fp16=half)
        except RuntimeError as error:  # a full disk is reported only as "iostream error"
            raise ModelError(
                f"{path}: cannot be written ({error}). Is there space left on the disk?"
            ) from error
        # The .xml last, because engines open it.
        for suffix in (".bin", ".xml"):
            os.replace(written.with_suffix(suffix), path.with_suffix(suffix))
