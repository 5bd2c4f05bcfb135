"""h2g recipes: the recipes that ship with h2g."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from h2g.cli.options import common

if TYPE_CHECKING:
    from h2g.recipes.recipe import Recipe


@click.command("recipes")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
def command(name: str | None, as_json: bool) -> None:
    """List the recipes, or print the YAML of one, comments included.

    The paper's nine designs come first, in its order, with their number and their mean Dice in its
    Table 1.

    \b
    Examples:
      h2g recipes
      h2g recipes demo > mine.yaml
    """
    from h2g.recipes.reading import load_recipe, recipe_text, shipped_recipes

    if name:
        text = recipe_text(name)
        recipe = load_recipe(name).model_dump(mode="json")
        click.echo(json.dumps(recipe, indent=2) if as_json else text, nl=as_json)
        return
    rows = [_row(recipe) for recipe in shipped_recipes()]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_table(rows)


def _row(recipe: Recipe) -> dict[str, Any]:
    stages = (recipe.patch, recipe.refinement)
    return {
        "name": recipe.name,
        "models": [stage.model for stage in stages if stage is not None],
        "description": recipe.description,
        "paper": recipe.paper.model_dump(mode="json") if recipe.paper else None,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    from h2g.cli.output import results

    table = Table("design", "name", "models", "paper's Dice", "description", box=box.SIMPLE)
    for row in rows:
        paper = row["paper"] or {}
        table.add_row(
            paper.get("design", ""),
            row["name"],
            " + ".join(row["models"]),
            f"{paper['dice'][0]:.3f}" if paper else "",
            row["description"],
        )
    results().print(table)
