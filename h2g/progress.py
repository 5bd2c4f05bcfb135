"""Progress bars on stderr; silent with --quiet."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


@contextlib.contextmanager
def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
    """A progress bar; call the yielded function as ``advance(steps=1, note="loss 0.31")``."""
    # Without markup, because names of slides may hold brackets.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    quiet = not logging.getLogger("h2g").isEnabledFor(logging.INFO)
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bars:
        task = bars.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str | None = None) -> None:
            bars.update(task, advance=steps)
            if note is not None:
                bars.update(task, note=note)

        yield advance


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yields ``items`` one by one, with a progress bar."""
    with progress(description, total) as advance:
        for item in items:
            yield item
            advance()
