"""Items of the FAST DataHub: a folder each, with METADATA.json and LICENSE.txt."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any, Literal

from h2g.bundle import Card
from h2g.exporters.fast_text import description, fast_version, slug
from h2g.exporters.licences import licence_url
from h2g.files import write_text

ItemKind = Literal["pipeline", "model"]
PIPELINE_FILE = "pipeline.fpl"


def item_id(card: Card, kind: ItemKind) -> str:
    """An item's id, which is its folder's name; the DataHub takes no dots in it."""
    name = slug(card.name).replace(".", "-")
    return name if kind == "pipeline" else f"{name}-model"


def write_model_item(card: Card, folder: Path) -> None:
    """The item of the networks, which themselves are put beside these files."""
    _write(card, folder, _metadata(card, "model"))


def write_pipeline_item(card: Card, folder: Path, pipeline: str) -> None:
    """The item of the pipeline; what it needs, the networks' item, stands in it whole."""
    needs = [_metadata(card, "model")]
    _write(card, folder, {**_metadata(card, "pipeline"), "needs": needs})
    write_text(folder / PIPELINE_FILE, pipeline)


def _write(card: Card, folder: Path, metadata: dict[str, Any]) -> None:
    text = json.dumps(metadata, indent=2, ensure_ascii=False)
    write_text(folder / "METADATA.json", text + "\n")
    write_text(folder / "LICENSE.txt", _licence_text(card))


def _metadata(card: Card, kind: ItemKind) -> dict[str, Any]:
    """The keys that FAST's DataHub reads; those left empty are for whoever publishes the item."""
    versions = fast_version(card)
    return {
        "id": item_id(card, kind),
        "name": card.name if kind == "pipeline" else f"{card.name}, networks",
        "type": kind,
        "author": card.author,
        "copyright": _copyright(card),
        "description": description(card),
        "license_name": card.licence,
        "license_url": licence_url(card.licence),
        "thumbnail_url": "",
        "download_url": "",
        # Of three numbers each: FAST 4.9 crashes at two.
        "min_fast_version": versions.oldest,
        "max_fast_version": versions.newest,
        "needs": [],
    }


def _licence_text(card: Card) -> str:
    notice = f"Copyright {_copyright(card)}" if card.author else ""
    lines = [card.licence, licence_url(card.licence), notice]
    return "\n".join(filter(None, lines)) + "\n"


def _copyright(card: Card) -> str:
    return f"{datetime.date.today().year} {card.author}" if card.author else ""
