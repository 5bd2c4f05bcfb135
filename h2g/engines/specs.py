"""The registry of engines: formats, precisions and packages of each.

To add an engine, write one module with ``open_network``, ``check_device`` and ``probe``, such as
h2g.engines.onnx_engine, and add one row here. This module loads no library, so that ``h2g --help``
answers at once.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from h2g.folders.bundle import FilePrecision, Format

DEVICES = ("CPU", "GPU")
PRECISIONS = ("float32", "bfloat16", "float16", "int8")
# Precision of the files to run. bfloat16 has no files of its own.
FILES_OF_PRECISION: dict[str, FilePrecision] = {
    "float32": "float32",
    "bfloat16": "float32",
    "float16": "float16",
    "int8": "int8",
}


@dataclass(frozen=True)
class EngineSpec:
    """One engine.

    Attributes:
        module: name of its module; importing it loads the engine's library.
        formats: formats it runs, the best suited first; empty if it runs the files of a run folder.
        precisions: precisions it computes in, the default first.
        packages: groups of alternatives. Every group needs one installed package.
        install: command that installs a missing package.
        speed: rank on a CPU, 1 is the fastest; None if ``--engine auto`` never chooses it.
        whole_slides: whether it segments whole slides in its own program and opens no network here.
    """

    name: str
    module: str
    formats: tuple[Format, ...]
    precisions: tuple[str, ...]
    packages: tuple[tuple[str, ...], ...]
    install: str
    speed: int | None = None
    whole_slides: bool = False

    @property
    def library(self) -> Any:
        """The engine's module, imported."""
        return importlib.import_module(self.module)


ENGINES: dict[str, EngineSpec] = {
    spec.name: spec
    for spec in (
        EngineSpec(
            name="keras",
            module="h2g.engines.keras_engine",
            formats=(),
            precisions=("float32",),
            packages=(("keras",), ("tensorflow", "tensorflow-cpu")),
            install="pip install 'h2g[train]'",
        ),
        EngineSpec(
            name="onnxruntime",
            module="h2g.engines.onnx_engine",
            formats=("onnx",),
            precisions=("float32", "int8"),
            packages=(("onnxruntime", "onnxruntime-gpu"),),
            install="pip install onnxruntime",
            speed=2,
        ),
        EngineSpec(
            name="openvino",
            module="h2g.engines.openvino_engine",
            formats=("openvino", "onnx"),
            precisions=PRECISIONS,
            packages=(("openvino",),),
            install="pip install openvino",
            speed=1,
        ),
        EngineSpec(
            name="tflite",
            module="h2g.engines.tflite_engine",
            formats=("tflite",),
            precisions=("float32", "float16", "int8"),
            packages=(("ai-edge-litert",),),
            install="pip install 'h2g[tflite]'",
            speed=3,
        ),
        EngineSpec(
            name="fast",
            module="h2g.engines.fast_process",
            formats=("fast",),
            precisions=("float32",),
            # It needs a program, which is found by its path.
            packages=(),
            install="",
            whole_slides=True,
        ),
    )
}
# Formats of bundles, in the order of tables.
EXPORT_FORMATS = tuple(spec.formats[0] for spec in ENGINES.values() if spec.formats)


def fastest_engines() -> tuple[str, ...]:
    """Engines that ``--engine auto`` tries on a CPU, the fastest first."""
    ranked = [spec for spec in ENGINES.values() if spec.speed is not None]
    return tuple(spec.name for spec in sorted(ranked, key=lambda spec: spec.speed or 0))


def engine_of_format(format: Format) -> str:
    """The engine whose first format this is."""
    return next(name for name, spec in ENGINES.items() if spec.formats[:1] == (format,))
