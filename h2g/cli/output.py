"""Results on stdout: a console for tables, as wide as the terminal or as names need, and JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 160


def results() -> Console:
    """The console on stdout that tables are printed on; names in brackets are no markup."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(width=width, markup=False, emoji=False)


def print_json(document: Any) -> None:
    """Prints one JSON document, in letters that the terminal's encoding has."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2)
    click.echo(text)
