"""Reads, resolves, checks and writes recipes, from files or from those shipped with h2g."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from h2g.errors import RecipeError
from h2g.recipes.documents import Document, extended, overridden, with_profile
from h2g.recipes.mistakes import nearest, sentences
from h2g.recipes.paper import Design
from h2g.recipes.recipe import Recipe

SUFFIXES = {".yaml", ".yml"}


def recipe_names() -> list[str]:
    """Names of the recipes that ship with h2g."""
    folder = resources.files("h2g.recipes")
    return sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml"))


def shipped_recipes() -> list[Recipe]:
    """The recipes that ship with h2g: H2G-Net's designs in the paper's order, then the others."""
    place = {design: number for number, design in enumerate(get_args(Design))}
    recipes = [load_recipe(name) for name in recipe_names()]
    return sorted(recipes, key=lambda r: place.get(r.paper and r.paper.design, len(place)))


def recipe_text(name: str) -> str:
    """The YAML text of a shipped recipe, with its comments.

    Raises:
        RecipeError: no shipped recipe has this name.
    """
    names = recipe_names()
    if name not in names:
        hint = nearest(name, names)
        hint = f" {hint[0].upper()}{hint[1:]}" if hint else ""
        raise RecipeError(f"No recipe '{name}'.{hint} Recipes: {', '.join(names)}, or a YAML file.")
    return resources.files("h2g.recipes").joinpath(f"{name}.yaml").read_text("utf-8")


def load_recipe(name_or_file: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Loads a recipe by name or file, with ``section.key=value`` overrides (values are YAML).

    Raises:
        RecipeError: an unknown recipe or key, invalid YAML, recipes that extend each other in a
            circle, or an invalid value.
    """
    path = Path(name_or_file)
    is_file = path.suffix in SUFFIXES or path.is_file()
    document = _resolved(path if is_file else str(name_or_file))
    return validate_recipe(overridden(document, overrides), source=str(name_or_file))


def validate_recipe(document: Document, *, source: str) -> Recipe:
    """Checks ``document`` as a Recipe; the RecipeError has one sentence per mistake."""
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f"{source}: {sentences(error, document)}") from error


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, with every value."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def setting_differences(
    old: Mapping[str, Any], new: Mapping[str, Any], *, section: str = ""
) -> list[tuple[str, Any, Any]]:
    """Differences between two recipes, or between one section of each.

    Args:
        old, new: output of ``model_dump``.
        section: key of the section in both recipes, e.g. ``patch``; empty for whole recipes.
    Returns:
        (key, old value, new value) per difference, in ``old``'s order, with keys as in ``--set``. A
        missing key has the value None.
    """
    differences = []
    for name in {**old, **new}:
        key = f"{section}.{name}".lstrip(".")
        old_value, new_value = old.get(name), new.get(name)
        if isinstance(old_value, Mapping) and isinstance(new_value, Mapping):
            differences += setting_differences(old_value, new_value, section=key)
        elif old_value != new_value:
            differences.append((key, old_value, new_value))
    return differences


def _resolved(origin: Path | str) -> Document:
    """The recipe's document, completed from the recipes that it ``extends``.

    Args:
        origin: a file, or the name of a shipped recipe.
    """
    chain, documents = [origin], [_read(origin)]
    while "extends" in documents[-1]:
        child = chain[-1]
        parent = _parent(child, documents[-1].pop("extends"))
        chain.append(parent)
        if _identity(parent) in map(_identity, chain[:-1]):
            circle = " -> ".join(map(str, chain))
            raise RecipeError(
                f"{origin}: recipes extend each other in a circle: {circle}. Take 'extends' out of "
                "one of them."
            )
        try:
            documents.append(_read(parent))
        except RecipeError as error:
            raise RecipeError(f"{child}: extends {parent}. {error}") from error
    document = with_profile(documents.pop())
    while documents:
        # Each recipe is checked here, so that a mistake is reported with its own name.
        validate_recipe(document, source=str(chain[len(documents)]))
        document = extended(document, documents.pop())
    return document


def _parent(child: Path | str, extends: Any) -> Path | str:
    """The recipe that ``child`` extends; a file's path is relative to the child's folder."""
    if not isinstance(extends, str):
        raise RecipeError(
            f"{child}: extends is {extends!r}; it takes the name of one shipped recipe or of one "
            "YAML file."
        )
    is_file = Path(extends).suffix in SUFFIXES
    return Path(child).parent / extends if is_file else extends


def _identity(origin: Path | str) -> Path | str:
    return origin.resolve() if isinstance(origin, Path) else origin


def _read(origin: Path | str) -> Document:
    try:
        text = origin.read_text("utf-8") if isinstance(origin, Path) else recipe_text(origin)
        document = yaml.safe_load(text)
    except OSError as error:
        raise RecipeError(f"{origin}: the recipe cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{origin}: not valid YAML ({error}).") from error
    if not isinstance(document, dict):
        raise RecipeError(f"{origin}: a recipe is a YAML mapping; see 'h2g recipes demo'.")
    return document
