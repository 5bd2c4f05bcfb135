"""A model as FAST and FastPathology load it.

fast/<model>-headless.fpl                        for runPipeline
fast/user/{models,pipelines}/                    to be copied into ~/fastpathology
fast/datahub/<model>/{pipeline.fpl,...}          two DataHub items: the pipeline,
fast/datahub/<model>-model/{patch.onnx,...}      and the networks that it needs
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from h2g.bundle import Card, Stage
from h2g.exporters.datahub import item_id, write_model_item, write_pipeline_item
from h2g.exporters.fast_graphs import fast_graphs
from h2g.exporters.fast_install import install
from h2g.exporters.fast_limits import refuse_unsuited
from h2g.exporters.fast_text import gui_pipeline, headless_file, headless_pipeline, slug
from h2g.exporters.source import ExportSource
from h2g.exporters.to_onnx import write_onnx
from h2g.files import write_text

__all__ = ["install", "write_fast"]

FOLDER = "fast"
# What both of FAST's engines read.
OPSET = 13


def write_fast(source: ExportSource, folder: Path) -> dict[Stage, Path]:
    """Writes ``fast/`` below a folder.

    Each network is one file with two names (hard links) where the disk can do that; in a copy of
    the bundle they may become two files.

    Returns:
        By stage, the file that an engine opens.
    Raises:
        WrongUseError: the recipe asks for what FAST does in another way.
    """
    card = source.card
    refuse_unsuited(card)
    fast, name = folder / FOLDER, slug(card.name)
    networks: dict[Stage, Path] = {}
    for stage, graph in fast_graphs(source).items():
        networks[stage] = fast / "user" / "models" / f"{name}-{stage}.onnx"
        about = {
            "name": card.name,
            "stage": stage,
            "h2g_version": card.h2g_version,
            "author": card.author,
            "licence": card.licence,
        }
        write_onnx(graph, networks[stage], opset=OPSET, metadata=about)
    _write_pipelines(card, fast, networks)
    return networks


def _write_pipelines(card: Card, fast: Path, networks: dict[Stage, Path]) -> None:
    name, stages = slug(card.name), tuple(networks)

    def in_folder(folder: str) -> dict[Stage, str]:
        return {stage: f"{folder}/{networks[stage].name}" for stage in stages}

    write_text(fast / headless_file(card), headless_pipeline(card, in_folder("user/models")))
    in_user_folder = fast / "user" / "pipelines" / f"{name}.fpl"
    write_text(in_user_folder, gui_pipeline(card, in_folder("../models")))
    datahub = fast / "datahub"
    item = datahub / item_id(card, "model")
    write_model_item(card, item)
    for stage, file in networks.items():
        _link(file, item / f"{stage}.onnx")
    in_item: dict[Stage, str] = {stage: f"../{item.name}/{stage}.onnx" for stage in stages}
    write_pipeline_item(card, datahub / item_id(card, "pipeline"), gui_pipeline(card, in_item))


def _link(file: Path, other: Path) -> None:
    try:
        os.link(file, other)
    except OSError:  # a disk without links
        shutil.copyfile(file, other)
