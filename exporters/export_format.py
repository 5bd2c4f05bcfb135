"""One export: its files are written, reloaded in their runtime and compared; and its card entry."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from h2g import __version__
from h2g.engines.engine import Network
from h2g.engines.specs import ENGINES
from h2g.errors import ModelError
from h2g.exporters.export_request import ExportRequest
from h2g.exporters.fast_graphs import run_fast_graph
from h2g.exporters.formats import network_files, open_exported, quantise_networks, write_networks
from h2g.exporters.parity import check_differences, largest_difference
from h2g.exporters.quantization_cost import MeasuredCost, measure_cost, why_refused
from h2g.exporters.samples import Samples
from h2g.exporters.source import ExportSource, Graph
from h2g.exporters.to_fast import OPSET as FAST_OPSET
from h2g.exporters.to_fast import write_fast
from h2g.files import file_sha256
from h2g.folders.bundle import Card, Check, Export, FilePrecision, Format, QuantisationCost
from h2g.hardware import package_version
from h2g.progress import progress
from h2g.texts import joined

# Subfolder of an export's folder: its files under their names in the bundle.
BUNDLE_FILES = "bundle"
# Subfolder beside it: the float32 files that int8 is made from and compared with.
FLOAT32_FILES = "float32"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """Everything that all exports of one command share.

    Attributes:
        graphs: graphs of the source's networks, by name.
        references: networks that exports are compared with.
        samples: None if nothing is compared or calibrated.
    """

    source: ExportSource
    graphs: Mapping[str, Graph]
    references: Mapping[str, Network]
    samples: Samples | None


def make_export(material: Material, request: ExportRequest, format: Format, folder: Path) -> Export:
    """Writes one format at the requested precision.

    Args:
        folder: created for this export; its files are written to ``folder/BUNDLE_FILES``.
    Raises:
        ModelError: the format cannot hold the networks, or they differ by more than is allowed.
    """
    files, precision = folder / BUNDLE_FILES, request.precision
    with progress(f"{format} {precision}", total=2) as advance:
        advance(0, note="writing")
        networks = _write(material, request, format, folder)
        opened = open_exported(networks, format=format, precision=precision)
        advance(1, note="comparing" if request.check else "")
        check = _check(material, opened, format, precision) if request.check else None
        advance(1, note="")
    cost = _cost(material, request, format, opened, folder) if precision == "int8" else None
    return Export(
        format=format,
        precision=precision,
        h2g_version=__version__,
        networks={name: _name(file, files) for name, file in networks.items()},
        files={
            _name(file, files): file_sha256(file)
            for file in sorted(files.rglob("*"))
            if file.is_file()
        },
        opset={"onnx": request.opset, "fast": FAST_OPSET}.get(format),
        check=check,
        cost=cost,
    )


def engine_version(network: Network) -> str:
    """The engine's name and version, e.g. ``openvino 2026.4.1``."""
    # None if onnxruntime-gpu is installed, which is onnxruntime too.
    version = package_version(ENGINES[network.engine].packages[0][0])
    return f"{network.engine} {version}" if version else network.engine


def _write(
    material: Material, request: ExportRequest, format: Format, folder: Path
) -> dict[str, Path]:
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
) -> dict[str, Path]:
    return write_networks(
        material.graphs,
        folder,
        format=format,
        precision=precision,
        opset=request.opset,
        metadata=_metadata(material.source.card),
    )


def _check(
    material: Material, networks: Mapping[str, Network], format: Format, precision: FilePrecision
) -> Check:
    if material.samples is None:
        raise ValueError("a check without samples")
    patch = material.source.card.preprocessing.patch
    differences = {
        name: largest_difference(
            name,
            partial(run_fast_graph, network, material.source.card.networks[name], patch)
            if format == "fast"
            else network.run,
            material.references[name],
            material.samples.feeds[name],
        )
        for name, network in networks.items()
    }
    engine, reference = (
        engine_version(next(iter(each.values()))) for each in (networks, material.references)
    )
    check_differences(
        differences,
        exact=precision == "float32",
        what=f"{format} {precision} ({engine})",
        reference=reference,
    )
    return Check(
        engine=engine,
        reference=reference,
        pixels=material.samples.pixels,
        max_difference=differences,
    )


def _cost(
    material: Material,
    request: ExportRequest,
    format: Format,
    networks: Mapping[str, Network],
    folder: Path,
) -> QuantisationCost:
    """The cost of int8, measured if a check is requested.

    Raises:
        ModelError: it loses more than is allowed, and is not forced.
    """
    run, samples = material.source.run, material.samples
    if run is None or samples is None:
        raise ValueError("int8 without a run to calibrate it on")
    measured = MeasuredCost({}, None)
    if request.check:
        files = network_files(
            material.graphs, folder / FLOAT32_FILES, format=format, precision="float32"
        )
        float32 = open_exported(files, format=format, precision="float32")
        measured = measure_cost(run, {"float32": float32, "int8": networks})
    cost = QuantisationCost(
        calibration={name: len(feeds) for name, feeds in samples.feeds.items()},
        accuracy=measured.accuracy,
        dice=measured.dice,
    )
    reason = why_refused(cost)
    if reason and not request.force:
        raise ModelError(f"{format}: {reason}. It was not written; --force exports it anyway.")
    if reason:
        logger.warning("%s: %s; exported anyway (--force).", format, reason)
    return cost


def _metadata(card: Card) -> dict[str, str]:
    """Facts written into a network's file, for readers who have only that file."""
    patch = card.preprocessing.patch
    return {
        "name": card.name,
        "h2g_version": __version__,
        "class_names": joined(card.class_names, ","),
        "patch_mpp": f"{patch.mpp:g}",
        "patch_size_px": str(patch.size_px),
        "licence": card.licence,
        **({"author": card.author} if card.author else {}),
    }


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()
