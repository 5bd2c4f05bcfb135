"""h2g recipes: the recipes that ship with h2g."""

from __future__ import annotations

import json

import click

from h2g.cli.options import common


@click.command("recipes")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
def command(name: str | None, as_json: bool) -> None:
    """List the recipes, or print the YAML of one, comments included.

    \b
    Examples:
      h2g recipes
      h2g recipes demo > mine.yaml
    """
    from h2g.recipes.recipe import load_recipe, recipe_names, recipe_text

    if name:
        text = recipe_text(name)
        recipe = load_recipe(name).model_dump(mode="json")
        click.echo(json.dumps(recipe, indent=2) if as_json else text, nl=as_json)
        return
    rows = []
    for each in recipe_names():
        loaded = load_recipe(each)
        models = [stage.model for stage in (loaded.patch, loaded.refinement) if stage is not None]
        rows.append({"name": each, "models": models, "description": loaded.description})
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich import box
    from rich.table import Table

    from h2g.cli.output import results

    table = Table("name", "models", "description", box=box.SIMPLE)
    for row in rows:
        table.add_row(str(row["name"]), " + ".join(row["models"]), str(row["description"]))
    results().print(table)
