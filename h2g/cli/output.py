"""The console for results: as wide as the terminal, or wide enough for names when piped."""

from __future__ import annotations

import sys

from rich.console import Console

PIPED_WIDTH = 160


def results() -> Console:
    """The console on stdout that tables are printed on."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
