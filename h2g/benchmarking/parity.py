"""Differences of engines and precisions from Keras on a whole slide: heatmap and segmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from h2g.benchmarking.child import predict_command, run_child
from h2g.benchmarking.choose_rows import Wanted, choices
from h2g.benchmarking.row import Choice
from h2g.errors import H2GError, RunError, SlideError
from h2g.files import write_text
from h2g.folders.run import is_run
from h2g.hardware import this_hardware
from h2g.results.outputs import SlideFiles
from h2g.slides.tiff_files import read_heatmap
from h2g.tables import markdown_table, write_csv
from h2g.texts import name_of_slide, shell_command

NAMES = ("model", "engine", "device", "precision")
FIGURES = ("heatmap_difference", "equal_pixels", "dice", "reason")


@dataclass(frozen=True)
class Parity:
    """Agreement of two predictions of one slide.

    Attributes:
        heatmap_difference: largest difference of a class's probability in a cell; None for a model
            that makes no heatmap, or an engine that writes none.
        equal_pixels: share of the segmentation's pixels with the same label.
        dice: Dice of all classes but background together; 1 if neither has any.
    """

    heatmap_difference: float | None
    equal_pixels: float
    dice: float


def compare_files(files: SlideFiles, reference: SlideFiles) -> Parity:
    """Compares the files that two engines wrote for one slide.

    Raises:
        SlideError: the segmentations or heatmaps differ in size, so slide or model differ.
    """
    labels, wanted = (tifffile.imread(each["segmentation"], key=0) for each in (files, reference))
    if labels.shape != wanted.shape:
        raise SlideError(
            f"{files['segmentation']}: {labels.shape[1]} x {labels.shape[0]} pixels, but the "
            f"reference has {wanted.shape[1]} x {wanted.shape[0]}. "
            "Compare predictions of one slide and model."
        )
    return Parity(
        heatmap_difference=_heatmap_difference(files, reference),
        equal_pixels=float((labels == wanted).mean()),
        dice=_dice(labels > 0, wanted > 0),
    )


def _heatmap_difference(files: SlideFiles, reference: SlideFiles) -> float | None:
    if not (files["heatmap"].is_file() and reference["heatmap"].is_file()):
        return None
    heatmap, expected = (read_heatmap(each["heatmap"]).values for each in (files, reference))
    if heatmap.shape != expected.shape:
        raise SlideError(
            f"{files['heatmap']}: its shape is {heatmap.shape}, the reference's {expected.shape}. "
            "Compare predictions of one slide and model."
        )
    return float(np.abs(heatmap - expected).max())


def parity_table(wanted: Wanted, slide: Path, mpp: float | None, out: Path) -> pd.DataFrame:
    """Compares every engine and precision with Keras on one slide, using ``h2g predict``.

    Args:
        wanted: one of its models is the run folder that the bundles were exported from.
        mpp: um/px of level 0; None takes the slide's own.
        out: gets one prediction folder per row.
    Returns:
        Columns model, engine, device, precision, heatmap_difference, equal_pixels, dice, and
        reason (why there are no figures, or "").
    Raises:
        RunError, ModelError: the models lack a run or a bundle, or a folder is not a model.
        SlideError: Keras cannot predict the slide.
    """
    run = next((model for model in wanted.models if is_run(model)), None)
    if run is None:
        raise RunError("Give the run folder too: the bundles are compared with its Keras networks.")
    others = tuple(model for model in wanted.models if model != run)
    if not others:
        export = shell_command("h2g", "export", run)
        raise RunError(f"{run}: give a bundle too, which this writes: {export}")
    keras = Choice(model=run, engine="keras", device="CPU", precision="float32")
    reference = _predict(keras, slide, mpp, out / "keras")
    rows = []
    planned = choices(dataclasses.replace(wanted, models=others), this_hardware())
    for number, choice in enumerate(planned):
        figures: dict[str, float | str | None] = dict.fromkeys(FIGURES)
        try:
            files = _predict(choice, slide, mpp, out / str(number))
            figures |= {**vars(compare_files(files, reference)), "reason": ""}
        except H2GError as error:
            figures["reason"] = str(error)
        rows.append({**choice.model_dump(), "model": choice.model.name, **figures})
    return pd.DataFrame(rows)


def write_parity(table: pd.DataFrame, out: Path) -> None:
    """Writes the table as parity.csv and parity.md."""
    write_csv(table, out / "parity.csv")
    columns = [*NAMES, "heatmap, largest difference", "equal pixels", "Dice"]
    lines = [
        [*(str(row[name]) for name in NAMES), *figure_cells(row)]
        for row in table[table["reason"] == ""].to_dict("records")
    ]
    reasons = [
        f"- {' '.join(row[name] for name in NAMES)}: {row['reason']}"
        for row in table[table["reason"] != ""].to_dict("records")
    ]
    text = "\n".join([markdown_table(columns, lines), "", *reasons])
    write_text(out / "parity.md", text.rstrip() + "\n")


def figure_cells(row: Mapping[Any, Any]) -> list[str]:
    """The figures of a row as text; empty if the row has a reason instead."""
    if row["reason"]:
        return [""] * 3
    difference = row["heatmap_difference"]
    return [
        "" if pd.isna(difference) else f"{difference:.2e}",
        f"{100 * row['equal_pixels']:.4f} %",
        f"{row['dice']:.5f}",
    ]


def _predict(choice: Choice, slide: Path, mpp: float | None, out: Path) -> SlideFiles:
    """Predicts the slide and returns its files; SlideError if the prediction fails."""
    child = run_child(predict_command(choice, slide, out, mpp=mpp), device=choice.device)
    if child.returncode != 0:
        raise SlideError(child.last_words.removeprefix("h2g: "))
    return SlideFiles(out, name_of_slide(slide))


def _dice(labels: np.ndarray, reference: np.ndarray) -> float:
    both = int(np.count_nonzero(labels)) + int(np.count_nonzero(reference))
    return 2 * int(np.count_nonzero(labels & reference)) / both if both else 1.0
