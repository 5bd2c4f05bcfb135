"""h2g recipes: lists the recipes that ship with h2g."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results

if TYPE_CHECKING:
    from h2g.recipes.paper import PaperRow
    from h2g.recipes.recipe import Recipe


@click.command("recipes")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of a recipe file.")
@common
def command(name: str | None, as_json: bool, schema: bool) -> None:
    """List the recipes, or print the YAML of one with its comments.

    The paper's nine designs come first, in the paper's order, with their number and their mean Dice
    in its Table 1. With a name, --json prints every value of the recipe, including those from the
    recipes that it extends.

    \b
    Examples:
      h2g recipes
      h2g recipes demo > mine.yaml
      h2g recipes --schema > recipe.schema.json
    """
    from h2g.recipes.reading import load_recipe, recipe_text, shipped_recipes
    from h2g.recipes.schema import recipe_schema

    if schema:
        if name:
            raise click.UsageError("--schema is the same for every recipe; omit the name.")
        print_json(recipe_schema())
        return
    if name:
        text = recipe_text(name)
        recipe = load_recipe(name).model_dump(mode="json")
        click.echo(json.dumps(recipe, indent=2) if as_json else text, nl=as_json)
        return
    recipes = shipped_recipes()
    if as_json:
        print_json([_row(each) for each in recipes])
    else:
        _print_table(recipes)


def _models(recipe: Recipe) -> list[str]:
    return [stage.model for stage in (recipe.patch, recipe.refinement) if stage is not None]


def _row(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "models": _models(recipe),
        "description": recipe.description,
        "paper": _paper(recipe.paper) if recipe.paper else None,
    }


def _paper(paper: PaperRow) -> dict[str, Any]:
    """The row with a key per metric, e.g. ``dice`` and ``dice_by_grade``."""
    row = paper.model_dump(mode="json")
    by_grade = {f"{name}_by_grade": scores for name, scores in row["by_grade"].items()}
    return {"design": row["design"], "label": row["row"], **row["metrics"], **by_grade}


def _print_table(recipes: list[Recipe]) -> None:
    from rich import box
    from rich.table import Table

    from h2g.recipes.paper import mean_sd

    table = Table("design", "name", "models", "paper's Dice", "description", box=box.SIMPLE)
    for recipe in recipes:
        paper = recipe.paper
        dice = paper.metrics.get("dice") if paper else None
        table.add_row(
            (paper and paper.design) or "",
            recipe.name,
            " + ".join(_models(recipe)),
            "" if dice is None else f"{mean_sd(dice)[0]:.3f}",
            recipe.description,
        )
    results().print(table)
