"""h2g models: lists the networks that a recipe can name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results

if TYPE_CHECKING:
    from h2g.models.registry import Architecture


@click.command("models")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(name: str | None, as_json: bool) -> None:
    """List the networks with their parameter counts, or show the layers of one.

    \b
    Examples:
      h2g models
      h2g models unet
    """
    from h2g.models.startup import start_keras

    start_keras()
    from h2g.models.registry import MODELS, build_default, find_architecture

    names = [name] if name else list(MODELS)
    rows = [_row(each, find_architecture(each)) for each in names]
    if as_json:
        print_json(rows)
    elif name:
        build_default(name).summary(print_fn=lambda line, **_: click.echo(line))
        click.echo(f"Source: {rows[0]['source']}")
    else:
        _print_table(rows)


def _row(name: str, architecture: Architecture) -> dict[str, object]:
    return {
        "name": name,
        "kind": architecture.kind,
        "answer": architecture.answer,
        "parameters": architecture.parameters,
        "paper_parameters": architecture.paper_parameters,
        "source": architecture.source,
    }


def _print_table(rows: list[dict[str, object]]) -> None:
    from rich.table import Table

    table = Table("name", "kind", "answer", "parameters", "in the paper", "source")
    for row in rows:
        table.add_row(
            str(row["name"]),
            str(row["kind"]),
            str(row["answer"]),
            f"{row['parameters']:,}",
            "" if row["paper_parameters"] is None else f"{row['paper_parameters']:,}",
            str(row["source"]),
        )
    results().print(table)
