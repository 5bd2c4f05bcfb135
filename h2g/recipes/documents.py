"""Recipes as mappings read from YAML, before they are checked: extended, profiled, overridden.

No function changes the document that it is given.
"""

from __future__ import annotations

from typing import Any

import yaml

from h2g.errors import RecipeError
from h2g.recipes.preprocessing import PROFILES, with_fast_named

Document = dict[str, Any]

# Keys that say what a recipe is; one that extends another has its own.
IDENTITY = ("name", "description", "paper")
PROFILE_KEY = "preprocessing.profile"


def merge_cards(base: Document, changes: Document) -> Document:
    """``base`` with ``changes``: mappings merge key by key, any other value replaces."""
    result = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = merge_cards(old, value)
        result[key] = value
    return result


def extended(base: Document, changes: Document) -> Document:
    """The recipe ``base`` with what another one, which extends it, says differently."""
    base = {key: value for key, value in base.items() if key not in IDENTITY}
    profile = _profile(changes, default=_profile(base))
    if profile != _profile(base):
        base = _with_other_profile(base, profile)
    return with_profile(merge_cards(base, changes))


def with_profile(document: Document) -> Document:
    """``preprocessing: {profile: fast, ...}`` with that profile's values where it has none."""
    section = with_fast_named(document.get("preprocessing") or {})
    profile = _profile({"preprocessing": section})
    if profile not in PROFILES or not isinstance(section, dict):
        return document
    values = PROFILES[profile].model_dump(mode="json")
    return {**document, "preprocessing": merge_cards(values, section)}


def overridden(document: Document, overrides: tuple[str, ...]) -> Document:
    """The document with ``section.key=value`` overrides, whose values are YAML.

    Raises:
        RecipeError: an override without key or value, or a value that is not YAML.
    """
    # A profile comes first, because the others change its values.
    for override in sorted(overrides, key=lambda text: not text.startswith(PROFILE_KEY)):
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise RecipeError(f"--set {override}: write KEY=VALUE, e.g. --set patch.epochs=10.")
        if key.strip() == PROFILE_KEY and text.strip() in PROFILES:
            document = _with_other_profile(document, text.strip())
            continue
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {override}: '{text}' is not a YAML value.") from error
        document = _with_value(document, key.strip().split("."), value)
    return with_profile(document)


def _profile(document: Document, default: str = "paper") -> str:
    section = document.get("preprocessing")
    return str(section.get("profile", default)) if isinstance(section, dict) else default


def _with_other_profile(document: Document, profile: str) -> Document:
    """All values of another profile, but for the patches' size and resolution."""
    section = document.get("preprocessing") or {}
    patch = section.get("patch") or {} if isinstance(section, dict) else {}
    same = {key: patch[key] for key in ("mpp", "size_px") if key in patch}
    return {**document, "preprocessing": {"profile": profile, "patch": same}}


def _with_value(document: Document, keys: list[str], value: Any) -> Document:
    key, *inner = keys
    if not inner:
        return {**document, key: value}
    section = document.get(key)
    section = section if isinstance(section, dict) else {}
    return {**document, key: _with_value(section, inner, value)}
