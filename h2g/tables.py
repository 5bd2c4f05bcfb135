"""Tables in Markdown and as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from h2g.files import replacing

if TYPE_CHECKING:
    import pandas as pd


def write_csv(table: pd.DataFrame, path: Path, *, float_format: str | None = None) -> None:
    """Writes the table whole or not at all, in UTF-8; names that are not UTF-8 are escaped."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format=float_format, errors="backslashreplace")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, with columns aligned so that the source is readable too.

    Args:
        header: one title per column, which may be empty.
        rows: texts. Bars are escaped, and line breaks become spaces.
    """
    cells = [[_cell(text) for text in row] for row in rows]
    # Numbers are texts already; tabulate would round them again.
    return tabulate(cells, [_cell(text) for text in header], "github", disable_numparse=True)


def score_cell(value: float) -> str:
    """A score as text for a table; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
