"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, with columns aligned so that the source is readable too.

    Args:
        header: one title per column, which may be empty.
        rows: texts. Bars are escaped, and line breaks become spaces.
    """
    cells = [[_cell(text) for text in row] for row in rows]
    # Numbers are texts already; tabulate would round them again.
    return tabulate(cells, [_cell(text) for text in header], "github", disable_numparse=True)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
