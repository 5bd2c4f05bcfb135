"""An exported bundle as a source: its ONNX files, to be converted further."""

from __future__ import annotations

from pathlib import Path

from h2g.bundle import Stage, open_bundle, verify_export
from h2g.errors import RunError
from h2g.exporters.source import ExportSource
from h2g.inference.engine import NetworkFiles


def open_onnx_bundle(path: Path, *, name: str | None = None) -> ExportSource:
    """The float32 ONNX networks of a bundle, with its card.

    Args:
        name: in place of the card's.
    Raises:
        ModelError: not a bundle, or its files are not as they were exported.
        RunError: it has no float32 ONNX networks.
    """
    bundle = open_bundle(path)
    export = bundle.card.find_export("onnx")
    if export is None:
        raise RunError(
            f"{path}: this bundle holds no float32 ONNX networks to convert. Export the run, or "
            "add them first: --format onnx."
        )
    verify_export(bundle, export)

    def file(stage: Stage) -> Path | None:
        return bundle.network_file(export, stage)

    networks = NetworkFiles(
        patch=file("patch"),
        refinement=file("refinement"),
        input_px=bundle.card.refinement_px,
        class_count=len(bundle.card.class_names),
    )
    card = bundle.card.model_copy(update={"exports": (), "name": name or bundle.card.name})
    return ExportSource(card, networks, run=None)
