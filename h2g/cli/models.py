"""h2g models: the networks that a recipe can name."""

from __future__ import annotations

import json

import click

from h2g.cli.options import common


@click.command("models")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
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
    rows = []
    for each in names:
        architecture, network = find_architecture(each), build_default(each)
        rows.append(
            {
                "name": each,
                "kind": architecture.kind,
                "parameters": network.count_params(),
                "paper_parameters": architecture.paper_parameters,
                "source": architecture.source,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif name:
        network.summary(print_fn=lambda line, **_: click.echo(line))
        click.echo(f"Source: {rows[0]['source']}")
    else:
        _print_table(rows)


def _print_table(rows: list[dict[str, object]]) -> None:
    from rich.table import Table

    from h2g.cli.output import results

    table = Table("name", "kind", "parameters", "in the paper", "source")
    for row in rows:
        table.add_row(
            str(row["name"]),
            str(row["kind"]),
            f"{row['parameters']:,}",
            f"{row['paper_parameters']:,}",
            str(row["source"]),
        )
    results().print(table)
