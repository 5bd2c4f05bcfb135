"""Export of a model to the files that FAST and FastPathology load.

fast/<model>-headless.fpl                        for runPipeline
fast/user/{models,pipelines}/                    to copy into ~/fastpathology
fast/datahub/<model>/{pipeline.fpl,...}          two DataHub items: the pipeline,
fast/datahub/<model>-model/{patch.onnx,...}      and the networks that it needs
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from h2g import __version__
from h2g.exporters.fast_graphs import fast_graphs
from h2g.exporters.fast_limits import check_suits_fast
from h2g.exporters.fast_text import (
    description,
    fast_version,
    gui_pipeline,
    headless_file,
    headless_pipeline,
    slug,
)
from h2g.exporters.licences import licence_url
from h2g.exporters.source import ExportSource
from h2g.exporters.to_onnx import write_onnx
from h2g.files import write_text
from h2g.folders.bundle import Card

FOLDER = "fast"
# Both of FAST's engines read it.
OPSET = 13


def write_fast(source: ExportSource, folder: Path) -> dict[str, Path]:
    """Writes ``fast/`` in a folder.

    Each network is one file with two names (hard links) if the disk supports them. A copy of the
    bundle may hold two files.

    Returns:
        The file that an engine opens, by network.
    Raises:
        WrongUseError: FAST cannot follow the recipe.
    """
    card = source.card
    check_suits_fast(card)
    fast, name = folder / FOLDER, slug(card.name)
    networks: dict[str, Path] = {}
    for stage, graph in fast_graphs(source).items():
        networks[stage] = fast / "user" / "models" / f"{name}-{stage}.onnx"
        about = {
            "name": card.name,
            "stage": stage,
            "h2g_version": __version__,
            "author": card.author,
            "licence": card.licence,
        }
        write_onnx(graph, networks[stage], opset=OPSET, metadata=about)
    _write_pipelines(card, fast, networks)
    return networks


def _write_pipelines(card: Card, fast: Path, networks: dict[str, Path]) -> None:
    name, stages = slug(card.name), tuple(networks)

    def in_folder(folder: str) -> dict[str, str]:
        return {stage: f"{folder}/{networks[stage].name}" for stage in stages}

    write_text(fast / headless_file(card), headless_pipeline(card, in_folder("user/models")))
    in_user_folder = fast / "user" / "pipelines" / f"{name}.fpl"
    write_text(in_user_folder, gui_pipeline(card, in_folder("../models")))
    datahub = fast / "datahub"
    item = datahub / item_id(card, "model")
    write_model_item(card, item)
    for stage, file in networks.items():
        _link(file, item / f"{stage}.onnx")
    in_item: dict[str, str] = {stage: f"../{item.name}/{stage}.onnx" for stage in stages}
    write_pipeline_item(card, datahub / item_id(card, "pipeline"), gui_pipeline(card, in_item))


def _link(file: Path, other: Path) -> None:
    try:
        os.link(file, other)
    except OSError:  # a disk without links
        shutil.copyfile(file, other)


ItemKind = Literal["pipeline", "model"]
PIPELINE_FILE = "pipeline.fpl"


def item_id(card: Card, kind: ItemKind) -> str:
    """An item's id, which is also its folder's name; the DataHub allows no dots in it."""
    name = slug(card.name).replace(".", "-")
    return name if kind == "pipeline" else f"{name}-model"


def write_model_item(card: Card, folder: Path) -> None:
    """Writes the item of the networks, without the networks themselves."""
    _write(card, folder, _metadata(card, "model"))


def write_pipeline_item(card: Card, folder: Path, pipeline: str) -> None:
    """Writes the item of the pipeline, which includes the metadata of the networks' item."""
    needs = [_metadata(card, "model")]
    _write(card, folder, {**_metadata(card, "pipeline"), "needs": needs})
    write_text(folder / PIPELINE_FILE, pipeline)


def _write(card: Card, folder: Path, metadata: dict[str, Any]) -> None:
    text = json.dumps(metadata, indent=2, ensure_ascii=False)
    write_text(folder / "METADATA.json", text + "\n")
    write_text(folder / "LICENSE.txt", _licence_text(card))


def _metadata(card: Card, kind: ItemKind) -> dict[str, Any]:
    """The keys that FAST's DataHub reads; the publisher of the item fills in the empty ones."""
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
        # Three numbers each: FAST 4.9 crashes on two.
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
