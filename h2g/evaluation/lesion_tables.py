"""Tables of lesions found one by one: lesions.csv and lesions.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from h2g.evaluation.lesions import LEAST_IOU, Lesions, together
from h2g.files import write_text
from h2g.tables import markdown_table, score_cell, write_csv

# Borders of the groups of true lesions by area, in mm2.
SIZES_MM2 = (0.0, 0.1, 1.0, float("inf"))
# Smaller areas are ignored, since an outline of a few pixels says nothing.
LEAST_MM2 = 0.01


def write_lesions(lesions: Mapping[str, Mapping[str, Lesions]], folder: Path) -> None:
    """Writes the two files.

    Args:
        lesions: by slide and class name.
    """
    rows = [
        {"slide": slide, "class": name, **_numbers(found)}
        for slide, classes in lesions.items()
        for name, found in classes.items()
    ]
    write_csv(pd.DataFrame(rows), folder / "lesions.csv", float_format="%.6g")
    names = list(dict.fromkeys(row["class"] for row in rows))
    totals = {name: together(slide[name] for slide in lesions.values()) for name in names}
    cells = [
        [name, *_cells(found), *[score_cell(part.recall) for part in _by_size(found)]]
        for name, found in totals.items()
    ]
    sizes = [f"recall, {_size(low, high)}" for low, high in _groups()]
    header = ["class", "lesions", "predicted", "found", "precision", "recall", "F1", *sizes]
    text = (
        f"Connected areas of {len(lesions)} slides, matched one to one if intersection / union is "
        f"above {LEAST_IOU:g}. Areas below {LEAST_MM2:g} mm2 are ignored."
    )
    write_text(folder / "lesions.md", f"# Lesions\n\n{text}\n\n{markdown_table(header, cells)}\n")


def _numbers(found: Lesions) -> dict[str, Any]:
    return {
        "lesions": len(found.true_mm2),
        "predicted": found.predicted,
        "found": found.found,
        "precision": found.precision,
        "recall": found.recall,
        "f1": found.f1,
    }


def _cells(found: Lesions) -> list[str]:
    *counts, precision, recall, f1 = _numbers(found).values()
    return [*(f"{count:,}" for count in counts), *map(score_cell, (precision, recall, f1))]


def _by_size(found: Lesions) -> list[Lesions]:
    return [found.within(low, high) for low, high in _groups()]


def _groups() -> list[tuple[float, float]]:
    return list(zip(SIZES_MM2, SIZES_MM2[1:], strict=False))


def _size(low: float, high: float) -> str:
    if np.isinf(high):
        return f"above {low:g} mm2"
    return f"{low:g} to {high:g} mm2" if low else f"up to {high:g} mm2"
