"""Recipes as unchecked mappings from YAML, and how they are extended and overridden.

No function changes the document that it is given.
"""

from __future__ import annotations

from typing import Any

import yaml

from h2g.errors import RecipeError
from h2g.recipes.preprocessing import PROFILES, with_fast_named

Document = dict[str, Any]

# Keys that identify a recipe; a recipe does not inherit them.
IDENTITY = ("name", "description", "paper")
PROFILE_KEY = "preprocessing.profile"


def merge_cards(base: Document, changes: Document) -> Document:
    """``base`` with ``changes``; mappings are merged key by key, other values replaced."""
    result = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = merge_cards(old, value)
        result[key] = value
    return result


def extended(base: Document, changes: Document) -> Document:
    """The recipe ``base`` with the changes of a recipe that extends it."""
    base = {key: value for key, value in base.items() if key not in IDENTITY}
    profile = _profile(changes, default=_profile(base))
    if profile != _profile(base):
        base = _with_other_profile(base, profile)
    return with_profile(merge_cards(base, changes))


def with_profile(document: Document) -> Document:
    """The document with its preprocessing completed from the profile."""
    section = with_fast_named(document.get("preprocessing") or {})
    profile = _profile({"preprocessing": section})
    if profile not in PROFILES or not isinstance(section, dict):
        return document
    values = PROFILES[profile].model_dump(mode="json")
    return {**document, "preprocessing": merge_cards(values, section)}


def overridden(document: Document, overrides: tuple[str, ...]) -> Document:
    """The document with ``section.key=value`` overrides, whose values are YAML.

    Raises:
        RecipeError: an override lacks a key or value, or its value is not YAML.
    """
    # The profile is set first, because the other overrides change its values.
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
    """The document with another profile, which keeps only the size and resolution of patches."""
    section = document.get("preprocessing") or {}
    patch = section.get("patch") or {} if isinstance(section, dict) else {}
    kept = {key: patch[key] for key in ("mpp", "size_px") if key in patch}
    return {**document, "preprocessing": {"profile": profile, "patch": kept}}


def _with_value(document: Document, keys: list[str], value: Any) -> Document:
    key, *inner = keys
    if not inner:
        return {**document, key: value}
    section = document.get(key)
    section = section if isinstance(section, dict) else {}
    return {**document, key: _with_value(section, inner, value)}
