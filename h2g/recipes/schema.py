"""The JSON schema of a recipe file, which editors use to complete and check it."""

from __future__ import annotations

from typing import Any

from h2g.recipes.recipe import Recipe

EXTENDS = {
    "type": "string",
    "description": "The recipe that this one changes: the name of a shipped recipe, or a YAML file "
    "relative to this one. Keys that are left out are inherited.",
}


def recipe_schema() -> dict[str, Any]:
    """The schema of ``Recipe`` with the key ``extends``, which resolved recipes lack."""
    schema = Recipe.model_json_schema()
    return {**schema, "properties": {"extends": EXTENDS, **schema["properties"]}}
