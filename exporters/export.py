"""Export of a trained model to a bundle: each format is written, reloaded, compared and added."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from h2g.engines.engine import Network, open_network
from h2g.errors import WrongUseError
from h2g.exporters.bundle_folder import (
    check_same_model,
    existing_card,
    merge_cards,
    reusable_exports,
    staging_folder,
    swap_in,
)
from h2g.exporters.export_format import BUNDLE_FILES, Material, make_export
from h2g.exporters.export_request import ExportRequest, wanted_formats
from h2g.exporters.fast_limits import check_suits_fast, with_fast_preprocessing
from h2g.exporters.model_card import MODEL_CARD_FILE, model_card
from h2g.exporters.samples import Samples, noise_samples, run_samples
from h2g.exporters.source import ExportSource, deployed_graphs, open_onnx_bundle, open_source
from h2g.files import write_text
from h2g.folders.bundle import (
    FORMATS,
    Bundle,
    Card,
    Export,
    FilePrecision,
    Format,
    is_bundle,
    open_bundle,
    write_card,
)
from h2g.stages.chain import NETWORKS

# Engine and device that run the files of a source.
REFERENCES = {".keras": ("keras", "auto"), ".onnx": ("onnxruntime", "CPU")}


@dataclass(frozen=True)
class Exported:
    """One export of a bundle.

    Attributes:
        seconds: duration of the export; None if the bundle already held it.
    """

    export: Export
    seconds: float | None


def export(
    run: str | Path,
    formats: str | Sequence[str],
    *,
    out: str | Path,
    precision: FilePrecision = "float32",
    **options: Any,
) -> Bundle:
    """Exports a trained run into a bundle that runs without TensorFlow.

    Each format is reloaded in its runtime and compared with Keras.

    Args:
        run: a run folder or a .keras file.
        formats: one or more of ``onnx``, ``openvino``, ``tflite`` and ``fast``, or ``all``.
        out: the bundle's folder; formats are added to a bundle of the same networks.
        precision: ``float32``, ``float16`` or ``int8``.
        options: the other fields of h2g.exporters.export_request.ExportRequest, such as ``check``.
    Raises:
        RunError, WrongUseError: the model cannot be exported, or not to this folder.
        ModelError: an export differs from the original.

    Example:
        >>> import h2g
        >>> bundle = h2g.export("run", "onnx", out="exported", check=False)
        >>> sorted(bundle.card.networks)
        ['patch', 'refinement']
    """
    names = [formats] if isinstance(formats, str) else list(formats)
    request = ExportRequest(
        formats=wanted_formats(names, precision), precision=precision, **options
    )
    return export_model(Path(run), Path(out), request)[0]


def export_model(
    model: Path,
    out: Path,
    request: ExportRequest,
    *,
    recipe: str | None = None,
    name: str | None = None,
) -> tuple[Bundle, list[Exported]]:
    """Exports a model into a bundle, one format at a time; each is added complete and checked.

    Finished formats stay when a later one fails. Only formats that the bundle lacks, or holds with
    other settings, are exported.

    Args:
        model: a run folder, a .keras file or, for OpenVINO only, a bundle with ONNX networks.
        out: a new or empty folder, or a bundle of the same networks.
        recipe: recipe of a .keras file.
        name: name of the bundle; by default its existing name, or the recipe's.
    Returns:
        The bundle, and the requested exports.
    Raises:
        RunError, WrongUseError: the model cannot be exported, or not to this folder.
        ModelError: an export differs from the original.
    """
    old_card = existing_card(out)
    source = _open(model, request, recipe, name or (old_card.name if old_card else None))
    source = dataclasses.replace(source, card=_card(source, old_card, request))
    reusable: dict[Format, Export] = {}
    if old_card is not None:
        asked = {(format, request.precision) for format in request.formats}
        check_same_model(source.card, old_card, asked, out)
        reusable = reusable_exports(Bundle(out, old_card), source, request)
    done = [Exported(export, None) for export in reusable.values()]
    missing = [format for format in request.formats if format not in reusable]
    with staging_folder(out) as staging:
        if reusable:  # the run may have scores that the card lacks
            old_card = _install_files(
                merge_cards(source.card, old_card, []), old_card, (), staging / "card", out
            )
        for made in _make(source, request, missing, staging):
            new, files = made.export, staging / made.export.format / BUNDLE_FILES
            old_card = _install_files(
                merge_cards(source.card, old_card, [new]), old_card, new.files, files, out
            )
            done.append(made)
    return open_bundle(out), sorted(done, key=lambda each: FORMATS.index(each.export.format))


def _card(source: ExportSource, old_card: Card | None, request: ExportRequest) -> Card:
    card = source.card.model_copy(update=_terms(old_card or source.card, request))
    if "fast" in request.formats or request.accept_preprocessing_change:
        card = with_fast_preprocessing(
            card,
            fast_version=request.fast_version,
            accept_change=request.accept_preprocessing_change,
        )
    if "fast" in request.formats:
        check_suits_fast(card)
    return card


def _terms(known: Card, request: ExportRequest) -> dict[str, str]:
    """Author and licence: the requested ones, else the known ones."""
    return {
        "author": known.author if request.author is None else request.author,
        "licence": known.licence if request.licence is None else request.licence,
    }


def _open(
    model: Path, request: ExportRequest, recipe: str | None, name: str | None
) -> ExportSource:
    if not is_bundle(model):
        source = open_source(model, recipe=recipe, name=name)
    else:
        if request.formats != ("openvino",):
            raise WrongUseError(
                f"{model}: a bundle can only be exported to --format openvino, from its ONNX "
                "networks. Give the run folder for other formats."
            )
        if recipe is not None:
            raise WrongUseError(f"{model}: a bundle has a card of its own; leave out --recipe.")
        source = open_onnx_bundle(model, name=name)
    if request.precision == "int8" and source.run is None:
        raise WrongUseError(
            f"{model}: --precision int8 is calibrated on slides of the run, so it needs the run "
            "folder."
        )
    return source


def _make(
    source: ExportSource, request: ExportRequest, formats: Sequence[Format], staging: Path
) -> Iterator[Exported]:
    if not formats:
        return
    material = Material(
        source=source,
        graphs=deployed_graphs(source),
        references=_references(source),
        samples=_samples(source, request),
    )
    for format in formats:
        start = time.perf_counter()
        export = make_export(material, request, format, staging / format)
        yield Exported(export, time.perf_counter() - start)


def _references(source: ExportSource) -> dict[str, Network]:
    """The original networks: in Keras, or the ONNX files of a bundle."""
    opened = {}
    for name, file in source.files.items():
        engine, device = REFERENCES[file.suffix]
        opened[name] = open_network(file, engine=engine, device=device, many=NETWORKS[name].many)
    return opened


def _samples(source: ExportSource, request: ExportRequest) -> Samples | None:
    if request.precision == "int8" and source.run is not None:
        return run_samples(source.run, calibrate=True)
    if not request.check:
        return None
    return run_samples(source.run) if source.run is not None else noise_samples(source.card)


def _install_files(
    card: Card, old_card: Card | None, new: Collection[str], folder: Path, out: Path
) -> Card:
    """Makes the bundle match ``card``, with its ``new`` files from ``folder``."""
    write_text(folder / MODEL_CARD_FILE, model_card(card))
    write_card(folder, card)
    previous = old_card.exports if old_card else ()
    old = [name for export in previous if export not in card.exports for name in export.files]
    aside = folder.with_name(f"{folder.name}-aside")
    swap_in(folder, out, new=[*new, MODEL_CARD_FILE], old=old, aside=aside)
    return card
