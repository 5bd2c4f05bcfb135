"""Opening a bundle: which of its files, on what, and that they are as they were exported."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from h2g.bundle import Bundle, Export, FilePrecision, Format, open_bundle, verify_export
from h2g.errors import ModelError, WrongUseError
from h2g.hardware import has_onnxruntime_gpu
from h2g.inference.engine import Engine, NetworkFiles
from h2g.inference.loaded_model import LoadedModel

# The formats that each engine runs, the one that suits it first.
FORMATS_OF_ENGINE: dict[str, tuple[Format, ...]] = {
    "onnxruntime": ("onnx",),
    "openvino": ("openvino", "onnx"),
    "tflite": ("tflite",),
    "fast": ("fast",),
}
# What --engine auto tries on a CPU, the fastest first; FAST segments in its own way and is asked
# for by name.
FASTEST = ("openvino", "onnxruntime", "tflite")
# What 'h2g export' can write for each, and what it can compute of that.
PRECISIONS_OF_ENGINE: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "float16", "int8"),
    "tflite": ("float32", "float16", "int8"),
    "fast": ("float32",),
}
# bfloat16 has no files of its own: the engine computes so with those of float32.
FILES_OF_PRECISION: dict[str, FilePrecision] = {
    "float32": "float32",
    "bfloat16": "float32",
    "float16": "float16",
    "int8": "int8",
}
# Where the engines are; their libraries load with them.
CLASSES = {
    "onnxruntime": ("h2g.inference.onnx_engine", "OnnxEngine"),
    "openvino": ("h2g.inference.openvino_engine", "OpenVinoEngine"),
    "tflite": ("h2g.inference.tflite_engine", "TfliteEngine"),
}


@dataclass(frozen=True)
class Choice:
    """What runs a bundle, and its export for it."""

    engine: str
    device: str
    precision: str
    export: Export


def load_bundle(path: Path, *, engine: str, device: str, precision: str) -> LoadedModel:
    """A bundle as prediction takes it; arguments and errors as h2g.inference.loading.load_model."""
    bundle = open_bundle(path)
    _refuse_missing_patch(bundle)
    choice = _choose(bundle, engine=engine, device=device, precision=precision)
    _refuse_missing_hardware(choice)
    verify_export(bundle, choice.export)
    card = bundle.card
    return LoadedModel(
        path=path,
        recipe=card.name,
        class_names=card.class_names,
        preprocessing=card.preprocessing,
        sha256=dict(choice.export.files),
        has_patch="patch" in card.networks,
        open_engine=partial(_open_engine, bundle, choice),
        engine=choice.engine,
        precision=precision,
    )


def export_files(bundle: Bundle, export: Export) -> NetworkFiles:
    """The files of an export as an engine takes them."""
    return NetworkFiles(
        patch=bundle.network_file(export, "patch"),
        refinement=bundle.network_file(export, "refinement"),
        input_px=bundle.card.refinement_px,
        class_count=len(bundle.card.class_names),
    )


def _open_engine(bundle: Bundle, choice: Choice, batch_size: int) -> Engine:
    if choice.engine == "fast":
        raise WrongUseError(
            "FAST runs whole slides, in a program of its own: no patches of others."
        )
    files = export_files(bundle, choice.export)
    engine = getattr(_module(choice.engine), CLASSES[choice.engine][1])
    return engine(files, device=choice.device, precision=choice.precision, batch_size=batch_size)


def _choose(bundle: Bundle, *, engine: str, device: str, precision: str) -> Choice:
    if engine == "keras":
        raise WrongUseError(
            f"{bundle.path}: --engine keras runs run folders, and this is a bundle. Give the run "
            "folder, or --engine auto."
        )
    if engine != "auto" and precision not in PRECISIONS_OF_ENGINE[engine]:
        raise WrongUseError(
            f"--engine {engine} computes in {' or '.join(PRECISIONS_OF_ENGINE[engine])}, not in "
            f"{precision}. Give another --precision, or another --engine."
        )
    for name in _candidates(engine, device, precision):
        export = _find_export(bundle, name, precision)
        if export is not None:
            return Choice(name, _device(name, device), precision, export)
    raise WrongUseError(_what_is_missing(bundle, engine, precision))


def _candidates(engine: str, device: str, precision: str) -> list[str]:
    if engine != "auto":
        return [engine]
    names = list(FASTEST)
    if device != "CPU" and has_onnxruntime_gpu():
        names.insert(0, "onnxruntime")
    return [name for name in names if precision in PRECISIONS_OF_ENGINE[name]]


def _device(engine: str, device: str) -> str:
    if device != "auto":
        return device
    return "GPU" if engine == "onnxruntime" and has_onnxruntime_gpu() else "CPU"


def _find_export(bundle: Bundle, engine: str, precision: str) -> Export | None:
    for format in FORMATS_OF_ENGINE[engine]:
        export = bundle.card.find_export(format, FILES_OF_PRECISION[precision])
        if export is not None:
            return export
    return None


def _what_is_missing(bundle: Bundle, engine: str, precision: str) -> str:
    exports = bundle.card.exports
    there = ", ".join(f"{export.format} {export.precision}" for export in exports) or "no networks"
    formats = FORMATS_OF_ENGINE["openvino" if engine == "auto" else engine]
    files = FILES_OF_PRECISION[precision]
    if engine == "auto" and {export.format for export in exports} == {"fast"}:
        return (
            f"{bundle.path}: this bundle holds pipelines for FAST alone. Give --engine fast, or "
            f"add networks for other engines: {_export_command(bundle, formats[0], files)}."
        )
    rounded = "" if precision == "float32" else f" --precision {precision}"
    wanted = " or ".join(f"{format} {files}" for format in formats)
    return (
        f"{bundle.path}: --engine {engine}{rounded} needs {wanted}; this bundle holds {there}. "
        f"Add it: {_export_command(bundle, formats[0], files)}."
    )


def _export_command(bundle: Bundle, format: Format, precision: FilePrecision) -> str:
    option = "" if precision == "float32" else f" --precision {precision}"
    return f"h2g export RUN --format {format}{option} --out {bundle.path}"


def _refuse_missing_patch(bundle: Bundle) -> None:
    card = bundle.card
    if "patch" not in card.networks and card.refinement_inputs != "image":
        raise ModelError(
            f"{bundle.path}: this bundle holds no patch network, so it cannot segment slides. "
            "Export a whole run: h2g export RUN --format openvino --out BUNDLE."
        )


def _refuse_missing_hardware(choice: Choice) -> None:
    if choice.engine == "fast":
        if choice.device == "GPU":
            raise WrongUseError("FAST chooses its devices itself. Leave out --device.")
        return
    # Only then: the library loads while the first slide is read.
    if choice.device != "CPU":
        _module(choice.engine).refuse_device(choice.device)
    if choice.precision == "bfloat16":
        _module(choice.engine).refuse_missing_bfloat16(choice.device)


def _module(engine: str) -> Any:
    return importlib.import_module(CLASSES[engine][0])
