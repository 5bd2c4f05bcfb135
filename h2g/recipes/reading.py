"""Recipes from files and back: the shipped ones, profiles, overrides; mistakes become sentences."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from h2g.errors import RecipeError
from h2g.recipes.paper import Design
from h2g.recipes.preprocessing import PROFILES, with_fast_named
from h2g.recipes.recipe import Recipe

PROFILE_KEY = "preprocessing.profile"


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
    """The YAML text, comments included, of a recipe that ships with h2g.

    Raises:
        RecipeError: no recipe of that name.
    """
    if name not in recipe_names():
        near = difflib.get_close_matches(name, recipe_names(), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise RecipeError(
            f"No recipe '{name}'.{hint} Recipes: {', '.join(recipe_names())}, or a YAML file."
        )
    return resources.files("h2g.recipes").joinpath(f"{name}.yaml").read_text("utf-8")


def load_recipe(name_or_file: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """A recipe by name or file, with ``section.key=value`` overrides (values are YAML).

    Raises:
        RecipeError: unknown recipe, unreadable YAML, unknown key, or a value that does not fit.
    """
    path = Path(name_or_file)
    is_file = path.suffix in {".yaml", ".yml"} or path.is_file()
    try:
        text = path.read_text("utf-8") if is_file else recipe_text(str(name_or_file))
        document = yaml.safe_load(text)
    except OSError as error:
        raise RecipeError(f"{path}: the recipe cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML ({error}).") from error
    if not isinstance(document, dict):
        raise RecipeError(f"{path}: a recipe is a YAML mapping; see 'h2g recipes demo'.")
    document = _with_profile(document)
    # A profile first, whose values the others change.
    for override in sorted(overrides, key=lambda text: not text.startswith(PROFILE_KEY)):
        _override(document, override)
    document = _with_profile(document)
    return validate_recipe(document, source=str(name_or_file))


def validate_recipe(document: dict[str, Any], *, source: str) -> Recipe:
    """``document`` as a Recipe; RecipeError with one sentence a mistake."""
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        sentences = [_sentence(dict(detail)) for detail in error.errors()]
        raise RecipeError(f"{source}: " + " ".join(sentences)) from error


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every value written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _with_profile(document: dict[str, Any]) -> dict[str, Any]:
    """``preprocessing: {profile: fast, ...}`` starts from that profile's values."""
    section = with_fast_named(document.get("preprocessing") or {})
    name = section.get("profile", "paper") if isinstance(section, dict) else "paper"
    if name not in PROFILES or not isinstance(section, dict):
        return document
    base = PROFILES[name].model_dump(mode="json")
    for key, value in section.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            base[key] = {**base[key], **value}
        else:
            base[key] = value
    return {**document, "preprocessing": base}


def _change_profile(document: dict[str, Any], name: str) -> None:
    """All values of another profile, but for the patches' size and resolution."""
    written = document.get("preprocessing") or {}
    patch = written.get("patch") or {} if isinstance(written, dict) else {}
    same = {key: patch[key] for key in ("mpp", "size_px") if key in patch}
    document["preprocessing"] = {"profile": name, "patch": same}


def _override(document: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key.strip():
        raise RecipeError(f"--set {override}: write KEY=VALUE, e.g. --set patch.epochs=10.")
    if key.strip() == PROFILE_KEY and value.strip() in PROFILES:
        _change_profile(document, value.strip())
        return
    *parents, last = key.strip().split(".")
    section = document
    for parent in parents:
        if not isinstance(section.get(parent), dict):
            section[parent] = {}
        section = section[parent]
    try:
        section[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override}: '{value}' is not a YAML value.") from error


def _sentence(detail: dict[str, Any]) -> str:
    keys = [str(part) for part in detail["loc"]]
    where = ".".join(keys) or "the recipe"
    if detail["type"] != "extra_forbidden":
        message = str(detail["msg"]).removeprefix("Value error, ")
        return f"{where}: {message[:1].lower()}{message[1:]}."
    known = _known_keys(Recipe, keys[:-1])
    near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}."
    return f"unknown key '{where}'; {hint}"


def _known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation
        candidates = (annotation, *get_args(annotation))
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)
