"""The engines, one row each: what it runs, on what, in which precisions, and what it needs.

A new engine: one module as h2g.engines.onnx_engine is (``open_network``, ``check_device``,
``probe``), and one row here. This module loads nothing, so that ``h2g --help`` answers at once.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from h2g.folders.bundle import FilePrecision, Format

DEVICES = ("CPU", "GPU")
PRECISIONS = ("float32", "bfloat16", "float16", "int8")
# bfloat16 has no files of its own: an engine computes so with those of float32.
FILES_OF_PRECISION: dict[str, FilePrecision] = {
    "float32": "float32",
    "bfloat16": "float32",
    "float16": "float16",
    "int8": "int8",
}


@dataclass(frozen=True)
class EngineSpec:
    """
    Attributes:
        module: where it is; its library loads with it.
        formats: that it runs, the one that suits it first; none where it runs a run folder's files.
        precisions: that it computes in, the default first.
        packages: groups of alternatives; the first installed one of each counts.
        install: what makes it work where a package is missing.
        speed: its rank on a CPU, 1 the fastest; None where it has to be asked for by name.
        whole_slides: it segments slides in a program of its own, and opens no network here.
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
        """Its module, loaded."""
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
            # Programs, found by their paths.
            packages=(),
            install="",
            whole_slides=True,
        ),
    )
}
# What bundles hold, in the order of tables.
EXPORT_FORMATS = tuple(spec.formats[0] for spec in ENGINES.values() if spec.formats)


def fastest_engines() -> tuple[str, ...]:
    """Those that ``--engine auto`` tries on a CPU, the fastest first."""
    ranked = [spec for spec in ENGINES.values() if spec.speed is not None]
    return tuple(spec.name for spec in sorted(ranked, key=lambda spec: spec.speed or 0))


def engine_of_format(format: Format) -> str:
    """The engine that a format suits first."""
    return next(name for name, spec in ENGINES.items() if spec.formats[:1] == (format,))
