"""From a trained model to a bundle: each format written aside, reloaded, compared, then put in."""

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
    existing_card,
    merge_cards,
    refuse_other_model,
    reusable_exports,
    staging_folder,
    swap_in,
)
from h2g.exporters.export_format import BUNDLE_FILES, Material, make_export
from h2g.exporters.export_request import ExportRequest, wanted_formats
from h2g.exporters.fast_limits import refuse_unsuited, with_fast_preprocessing
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

# What runs the files of a source, and on what.
REFERENCES = {".keras": ("keras", "auto"), ".onnx": ("onnxruntime", "CPU")}


@dataclass(frozen=True)
class Exported:
    """
    Attributes:
        seconds: that it took; None for what the bundle held before.
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
        formats: ``onnx``, ``openvino``, ``tflite``, ``fast``, some of them, or ``all``.
        out: the bundle's folder; formats are added to a bundle of the same networks.
        precision: ``float32``, ``float16`` or ``int8``.
        options: the other fields of h2g.exporters.export_request.ExportRequest, such as ``check``.
    Raises:
        RunError, WrongUseError: what cannot be exported, or not to there.
        ModelError: an export that is not what it was made from.

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
    """Exports a model into a bundle, format by format: each goes in whole and checked.

    What is in stays when a later format is refused or stopped, and is not made again: only what
    the bundle lacks, or holds with other settings, is.

    Args:
        model: a run folder, a .keras file or, to OpenVINO alone, a bundle with ONNX networks.
        out: a new or empty folder, or a bundle of the same networks.
        recipe: of a .keras file.
        name: of the bundle; by default the one that it has, or the recipe's.
    Returns:
        the bundle, and the formats asked for.
    Raises:
        RunError, WrongUseError: what cannot be exported, or not to there.
        ModelError: an export that is not what it was made from.
    """
    there = existing_card(out)
    source = _open(model, request, recipe, name or (there.name if there else None))
    source = dataclasses.replace(source, card=_card(source, there, request))
    before: dict[Format, Export] = {}
    if there is not None:
        asked = {(format, request.precision) for format in request.formats}
        refuse_other_model(source.card, there, asked, out)
        before = reusable_exports(Bundle(out, there), source, request)
    done = [Exported(export, None) for export in before.values()]
    missing = [format for format in request.formats if format not in before]
    with staging_folder(out) as staging:
        if before:  # the run may know more by now than they do: its scores
            there = _install_files(
                merge_cards(source.card, there, []), there, (), staging / "card", out
            )
        for made in _make(source, request, missing, staging):
            new, files = made.export, staging / made.export.format / BUNDLE_FILES
            there = _install_files(
                merge_cards(source.card, there, [new]), there, new.files, files, out
            )
            done.append(made)
    return open_bundle(out), sorted(done, key=lambda each: FORMATS.index(each.export.format))


def _card(source: ExportSource, there: Card | None, request: ExportRequest) -> Card:
    card = source.card.model_copy(update=_terms(there or source.card, request))
    if "fast" in request.formats or request.accept_preprocessing_change:
        card = with_fast_preprocessing(
            card,
            fast_version=request.fast_version,
            accept_change=request.accept_preprocessing_change,
        )
    if "fast" in request.formats:
        refuse_unsuited(card)
    return card


def _terms(known: Card, request: ExportRequest) -> dict[str, str]:
    """Author and licence: those asked for, else those that are known."""
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
                f"{model}: a bundle is exported to --format openvino alone, from its ONNX "
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
    """The networks as they were given: in Keras, or the ONNX files of a bundle."""
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
    card: Card, there: Card | None, new: Collection[str], folder: Path, out: Path
) -> Card:
    """Makes the bundle what ``card`` says, its ``new`` files taken from ``folder``."""
    write_text(folder / MODEL_CARD_FILE, model_card(card))
    write_card(folder, card)
    before = there.exports if there else ()
    old = [name for export in before if export not in card.exports for name in export.files]
    aside = folder.with_name(f"{folder.name}-aside")
    swap_in(folder, out, new=[*new, MODEL_CARD_FILE], old=old, aside=aside)
    return card
