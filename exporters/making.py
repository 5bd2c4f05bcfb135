"""One export: its files written, reloaded in their runtime and compared, and its card entry."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from h2g.bundle import Card, Check, Export, FilePrecision, Format, QuantisationCost, Stage
from h2g.errors import ModelError
from h2g.exporters.formats import (
    Graph,
    network_files,
    open_engine,
    quantise_networks,
    write_networks,
)
from h2g.exporters.parity import LIMITS, largest_difference, refuse_differences
from h2g.exporters.quantization_cost import measure_cost, why_refused
from h2g.exporters.request import ExportRequest
from h2g.exporters.samples import Samples
from h2g.exporters.source import ExportSource
from h2g.exporters.to_fast import OPSET as FAST_OPSET
from h2g.exporters.to_fast import write_fast
from h2g.files import file_sha256
from h2g.inference.engine import Engine
from h2g.progress import progress

# Below an export's folder: its files under their names in the bundle.
BUNDLE_FILES = "bundle"
# Beside them: what int8 is made from and measured against.
FLOAT32_FILES = "float32"
PACKAGE_OF_ENGINE = {"tflite": "ai-edge-litert"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """What all exports of one command share.

    Attributes:
        graphs: of the source's networks, by stage.
        reference: what exports are compared with.
        samples: None where nothing is compared or calibrated.
    """

    source: ExportSource
    graphs: Mapping[Stage, Graph]
    reference: Engine
    samples: Samples | None


def make_export(material: Material, request: ExportRequest, format: Format, folder: Path) -> Export:
    """Writes one format at the precision asked for.

    Args:
        folder: is made for this export; its files are written to ``folder/BUNDLE_FILES``.
    Raises:
        ModelError: the format cannot hold the networks, or they differ there by more than they may.
    """
    files, precision = folder / BUNDLE_FILES, request.precision
    with progress(f"{format} {precision}", total=2) as advance:
        advance(0, note="writing")
        networks = _write(material, request, format, folder)
        engine = open_engine(networks, material.source.card, format=format, precision=precision)
        advance(1, note="comparing" if request.check else "")
        check = _check(material, engine, format, precision) if request.check else None
        advance(1, note="")
    cost = _cost(material, request, format, engine, folder) if precision == "int8" else None
    return Export(
        format=format,
        precision=precision,
        networks={stage: _name(file, files) for stage, file in networks.items()},
        files={
            _name(file, files): file_sha256(file)
            for file in sorted(files.rglob("*"))
            if file.is_file()
        },
        opset={"onnx": request.opset, "fast": FAST_OPSET}.get(format),
        check=check,
        cost=cost,
    )


def engine_version(engine: Engine) -> str:
    """The engine's name and version, e.g. ``openvino 2026.4.1``."""
    try:
        return f"{engine.name} {metadata.version(PACKAGE_OF_ENGINE.get(engine.name, engine.name))}"
    except metadata.PackageNotFoundError:  # onnxruntime-gpu is onnxruntime, too
        return engine.name


def _write(
    material: Material, request: ExportRequest, format: Format, folder: Path
) -> dict[Stage, Path]:
    files = folder / BUNDLE_FILES
    if format == "fast":
        return write_fast(material.source, files)
    if request.precision != "int8":
        return _write_floats(material, request, format, request.precision, files)
    if material.samples is None:
        raise ValueError("int8 without samples")
    float32 = _write_floats(material, request, format, "float32", folder / FLOAT32_FILES)
    return quantise_networks(
        material.graphs, float32, files, format=format, samples=material.samples
    )


def _write_floats(
    material: Material,
    request: ExportRequest,
    format: Format,
    precision: Literal["float32", "float16"],
    folder: Path,
) -> dict[Stage, Path]:
    return write_networks(
        material.graphs,
        folder,
        format=format,
        precision=precision,
        opset=request.opset,
        metadata=_metadata(material.source.card),
    )


def _check(material: Material, engine: Engine, format: Format, precision: FilePrecision) -> Check:
    if material.samples is None:
        raise ValueError("a check without samples")
    found = largest_difference(engine, material.reference, material.samples)
    name, reference = engine_version(engine), engine_version(material.reference)
    limits = LIMITS if precision == "float32" else None
    refuse_differences(found, limits, what=f"{format} {precision} ({name})", reference=reference)
    return Check(
        engine=name,
        reference=reference,
        pixels=material.samples.pixels,
        max_difference=found,
    )


def _cost(
    material: Material, request: ExportRequest, format: Format, engine: Engine, folder: Path
) -> QuantisationCost:
    """What int8 costs, measured when a check is wanted.

    Raises:
        ModelError: more than it may, and it is not forced.
    """
    run, samples = material.source.run, material.samples
    if run is None or samples is None:
        raise ValueError("int8 without a run to calibrate it on")
    accuracy = dice = None
    if request.check:
        files = network_files(
            material.graphs, folder / FLOAT32_FILES, format=format, precision="float32"
        )
        float32 = open_engine(files, material.source.card, format=format, precision="float32")
        measured = measure_cost(run, float_engine=float32, int8_engine=engine)
        accuracy, dice = measured.patch_accuracy, measured.dice
    cost = QuantisationCost(
        calibration_patches=len(samples.patches), patch_accuracy=accuracy, dice=dice
    )
    reason = why_refused(cost)
    if reason and not request.force:
        raise ModelError(f"{format}: {reason}. It was not written; --force exports it anyway.")
    if reason:
        logger.warning("%s: %s; exported all the same (--force).", format, reason)
    return cost


def _metadata(card: Card) -> dict[str, str]:
    """What stands inside a network's file, for those who have only that."""
    patch = card.preprocessing.patch
    return {
        "name": card.name,
        "h2g_version": card.h2g_version,
        "class_names": ",".join(card.class_names),
        "patch_mpp": f"{patch.mpp:g}",
        "patch_size_px": str(patch.size_px),
        "licence": card.licence,
        **({"author": card.author} if card.author else {}),
    }


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()
