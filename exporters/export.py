"""From a trained model to a bundle: written aside, reloaded, compared, and only then put in."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path

from h2g.bundle import Bundle, Card, Export, is_bundle, write_card
from h2g.errors import WrongUseError
from h2g.exporters.destination import bundle_there, merged, refuse_other_model
from h2g.exporters.fast_limits import refuse_unsuited
from h2g.exporters.fast_profile import with_fast_preprocessing
from h2g.exporters.formats import deployed_graphs
from h2g.exporters.making import BUNDLE_FILES, Material, make_export
from h2g.exporters.model_card import MODEL_CARD_FILE, model_card
from h2g.exporters.onnx_bundle import open_onnx_bundle
from h2g.exporters.request import ExportRequest
from h2g.exporters.samples import Samples, noise_samples, run_samples
from h2g.exporters.source import ExportSource, open_source
from h2g.exporters.staging import staging_folder, swap_in
from h2g.inference.engine import Engine
from h2g.inference.keras_engine import KerasEngine
from h2g.inference.onnx_engine import OnnxEngine
from h2g.runs import write_text

# Enough for the ranges of int8; a comparison needs fewer.
CALIBRATION_PATCHES, CALIBRATION_FIELDS = 256, 4


@dataclass(frozen=True)
class Exported:
    export: Export
    seconds: float


def export_model(
    model: Path,
    out: Path,
    request: ExportRequest,
    *,
    recipe: str | None = None,
    name: str | None = None,
) -> tuple[Bundle, list[Exported]]:
    """Exports a model into a bundle: all formats asked for, or nothing.

    Args:
        model: a run folder, a .keras file or, to OpenVINO alone, a bundle with ONNX networks.
        out: a new or empty folder, or a bundle of the same networks.
        recipe: of a .keras file.
        name: of the bundle; by default the one that it has, or the recipe's.
    Raises:
        RunError, WrongUseError: what cannot be exported, or not to there.
        ModelError: an export that is not what it was made from.
    """
    there = bundle_there(out)
    source = _open(model, request, recipe, name or (there.name if there else None))
    card = source.card
    if "fast" in request.formats or request.accept_preprocessing_change:
        card = with_fast_preprocessing(card, accept_change=request.accept_preprocessing_change)
    if "fast" in request.formats:
        refuse_unsuited(card)
    if there is not None:
        asked = {(format, request.precision) for format in request.formats}
        refuse_other_model(card, there, asked, out)
    with staging_folder(out) as staging:
        done = _make_all(source, card, request, staging)
        exports = [each.export for each in done]
        complete = merged(card, there, exports)
        _put_in(complete, there, exports, staging, out)
    return Bundle(out, complete), done


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


def _make_all(
    source: ExportSource, card: Card, request: ExportRequest, staging: Path
) -> list[Exported]:
    material = Material(
        source=dataclasses.replace(source, card=card),
        graphs=deployed_graphs(source),
        reference=_reference(source),
        samples=_samples(source, request),
    )
    done = []
    for format in request.formats:
        start = time.perf_counter()
        export = make_export(material, request, format, staging / format)
        done.append(Exported(export, time.perf_counter() - start))
    return done


def _reference(source: ExportSource) -> Engine:
    given = source.files.patch or source.files.refinement
    is_onnx = given is not None and given.suffix == ".onnx"
    return OnnxEngine(source.files) if is_onnx else KerasEngine(source.files)


def _samples(source: ExportSource, request: ExportRequest) -> Samples | None:
    if request.precision == "int8" and source.run is not None:
        return run_samples(source.run, patches=CALIBRATION_PATCHES, fields=CALIBRATION_FIELDS)
    if not request.check:
        return None
    return run_samples(source.run) if source.run is not None else noise_samples(source.card)


def _put_in(
    card: Card, there: Card | None, exports: list[Export], staging: Path, out: Path
) -> None:
    staged, aside = staging / "bundle", staging / "aside"
    for export in exports:
        for name in export.files:
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / export.format / BUNDLE_FILES / name, staged / name)
    write_text(staged / MODEL_CARD_FILE, model_card(card))
    write_card(staged, card)
    new = [name for export in exports for name in export.files]
    replaced = [there.find_export(e.format, e.precision) for e in exports] if there else []
    old = [name for export in replaced if export is not None for name in export.files]
    swap_in(staged, out, new=[*new, MODEL_CARD_FILE], old=old, aside=aside)
