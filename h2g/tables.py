"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, its columns aligned so that the text can be read as it is.

    Args:
        header: one title per column; may be empty texts.
        rows: texts, written as they are. A bar in one is escaped, and a line break becomes a space.
    """
    cells = [[_cell(text) for text in row] for row in rows]
    # Numbers are texts by now: tabulate would round them again.
    return tabulate(cells, [_cell(text) for text in header], "github", disable_numparse=True)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
