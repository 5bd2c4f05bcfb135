"""Items of the FAST DataHub: a folder each, with METADATA.json and LICENSE.txt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from h2g.bundle import Card
from h2g.exporters.fast_text import NEWEST_FAST, OLDEST_FAST, description, slug
from h2g.runs import write_text

PIPELINE_FILE = "pipeline.fpl"


def write_model_item(card: Card, folder: Path) -> None:
    """The item of the networks, which themselves are put beside these files."""
    _write(card, folder, _metadata(card, folder.name, kind="model", needs=[]))


def write_pipeline_item(card: Card, folder: Path, pipeline: str) -> None:
    """The item of the pipeline, which names the networks' item as what it needs."""
    model = _metadata(card, f"{slug(card.name)}-model", kind="model", needs=[])
    _write(card, folder, _metadata(card, folder.name, kind="pipeline", needs=[model]))
    write_text(folder / PIPELINE_FILE, pipeline)


def _write(card: Card, folder: Path, metadata: dict[str, Any]) -> None:
    text = json.dumps(metadata, indent=2, ensure_ascii=False)
    write_text(folder / "METADATA.json", text + "\n")
    write_text(folder / "LICENSE.txt", card.licence + "\n")


def _metadata(
    card: Card, identifier: str, *, kind: str, needs: list[dict[str, Any]]
) -> dict[str, Any]:
    """The keys that FAST's DataHub reads; those left empty are for whoever publishes the item."""
    return {
        "id": identifier,
        "name": card.name if kind == "pipeline" else f"{card.name}, networks",
        "type": kind,
        "author": "",
        "copyright": "",
        "description": description(card),
        "license_name": card.licence,
        "license_url": "",
        "thumbnail_url": "",
        "download_url": "",
        "min_fast_version": OLDEST_FAST,
        "max_fast_version": NEWEST_FAST,
        "needs": needs,
    }
