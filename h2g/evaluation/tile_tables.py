"""Files of the report on a network that segments tiles: tiles.csv, tiles.md, .png and .json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from h2g.evaluation.confusion import Confusion, total
from h2g.files import write_text
from h2g.folders.cohort import Split
from h2g.reporting.classifier import draw_confusion_matrix
from h2g.tables import markdown_table, score_cell, write_csv

# Names that papers give the scores, and the attributes of Confusion.
SCORES = {
    "Acc": "accuracy",
    "MPA": "mean_accuracy",
    "MIoU": "mean_iou",
    "FWIoU": "weighted_iou",
}


@dataclass(frozen=True)
class TileCounts:
    """The pixels of a slide's tiles, counted tile by tile; tiles without known pixels are out."""

    slide: str
    tiles: tuple[Confusion, ...]


def write_tile_report(
    slides: Sequence[TileCounts],
    folder: Path,
    *,
    split: Split,
    class_names: tuple[str, ...],
    key: dict[str, Any],
) -> None:
    """Writes the four files; ``key`` identifies their sources and is stored in the JSON."""
    classes = len(class_names)
    table = pd.DataFrame([_slide_row(slide, classes) for slide in slides])
    write_csv(table, folder / "tiles.csv")
    tiles = [tile for slide in slides for tile in slide.tiles]
    pixels = total(tiles, classes)
    document = {
        "split": split,
        "tiles": len(tiles),
        "pixels": scores(pixels),
        "mean_of_tiles": mean_scores(tiles),
        "classes": {
            name: {"precision": precision, "recall": recall, "f1": f1}
            for name, precision, recall, f1 in zip(
                class_names,
                pixels.precision.tolist(),
                pixels.recall.tolist(),
                pixels.f1.tolist(),
                strict=True,
            )
        },
        "confusion": pixels.counts.tolist(),
    }
    write_text(folder / "tiles.md", _markdown(document, table))
    draw_confusion_matrix(folder / "tiles.png", pixels.counts, class_names, title="pixels of tiles")
    # Written last, so a folder that holds it is complete.
    write_text(folder / "tiles.json", json.dumps({"key": key, **document}, indent=2) + "\n")


def scores(confusion: Confusion) -> dict[str, float]:
    return {name: getattr(confusion, attribute) for name, attribute in SCORES.items()}


def mean_scores(tiles: Sequence[Confusion]) -> dict[str, float]:
    """Means of the tiles' own scores."""
    rows = [[*scores(tile).values()] for tile in tiles]
    return dict(zip(SCORES, np.mean(rows, axis=0).tolist(), strict=True))


def _slide_row(slide: TileCounts, classes: int) -> dict[str, Any]:
    pixels = total(slide.tiles, classes)
    return {"slide": slide.slide, "tiles": len(slide.tiles), **scores(pixels)}


def _markdown(document: dict[str, Any], slides: pd.DataFrame) -> str:
    over = {"all pixels": document["pixels"], "mean of tiles": document["mean_of_tiles"]}
    summary = [[name, *_numbers(values.values())] for name, values in over.items()]
    by_class = [[name, *_numbers(v.values())] for name, v in document["classes"].items()]
    rows = [
        [str(row["slide"]), f"{row['tiles']:,}", *_numbers(row[name] for name in SCORES)]
        for row in slides.to_dict("records")
    ]
    parts = [
        f"# Tiles of {document['split']}",
        f"{document['tiles']:,} tiles. Acc, MPA, MIoU and FWIoU are the scores of HI-Net's "
        "equations 7 to 9. Papers give them over all pixels or as means of tiles without saying "
        "which; with two classes, a MIoU above Acc / (2 - Acc) can only be a mean of tiles.",
        markdown_table(["over", *SCORES], summary),
        markdown_table(["class", "precision", "recall", "F1"], by_class),
        markdown_table(["slide", "tiles", *SCORES], rows),
        "![Confusion matrix](tiles.png)",
    ]
    return "\n\n".join(parts) + "\n"


def _numbers(values: Any) -> list[str]:
    return [score_cell(value) for value in values]
