"""Options that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from h2g.cli.main import set_logging

data_root_option = click.option(
    "--data-root",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where slides and annotations lie now, if they are not where the table says.",
)


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --verbose and --quiet to a verb."""

    @click.option("--verbose", "-v", is_flag=True, help="Print more messages on stderr.")
    @click.option("--quiet", "-q", is_flag=True, help="Print only errors on stderr, no progress.")
    @functools.wraps(function)
    def wrapper(*args: Any, verbose: bool, quiet: bool, **kwargs: Any) -> Any:
        set_logging(verbose=verbose, quiet=quiet)
        with click.get_current_context().scope():
            click.get_current_context().meta["quiet"] = quiet
            return function(*args, **kwargs)

    return wrapper
