"""Sentences about mistakes in a recipe: the place, the mistake and the remedy."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from h2g.recipes.recipe import Recipe

UNKNOWN = "unknown key"
# Messages in terms of YAML that replace pydantic's, by pydantic's name of the mistake.
WORDS = {
    "missing": "this key is missing",
    "model_type": "input should be a mapping of keys to values",
    "dict_type": "input should be a mapping of keys to values",
    "tuple_type": "input should be a list",
    "too_long": "the list should have at most {max_length} values, not {actual_length}",
    "string_type": "input should be text, in quotes if YAML reads it as anything else",
    "int_type": "input should be an integer",
    "int_parsing": "input should be an integer",
    "int_from_float": "input should be an integer",
    "float_type": "input should be a number",
    "float_parsing": "input should be a number",
    "bool_type": "input should be true or false",
    "bool_parsing": "input should be true or false",
}


def sentences(error: ValidationError, document: dict[str, Any]) -> str:
    """The mistakes in ``document``, one sentence per place."""
    messages: dict[tuple[str, ...], list[str]] = {}
    for detail in error.errors():
        messages.setdefault(_keys(detail, document), []).append(_message(detail))
    # A value with several possible types has a mistake for each. The innermost ones say most.
    innermost = [
        keys for keys in messages if not any(_is_inside(other, keys) for other in messages)
    ]
    return " ".join(_sentence(keys, messages[keys]) for keys in innermost)


def nearest(name: str, known: list[str]) -> str:
    """A question with the most similar known name; empty if none is similar."""
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{matches[0]}'?" if matches else ""


def _keys(detail: ErrorDetails, document: dict[str, Any]) -> tuple[str, ...]:
    """The path of a mistake in the document, without pydantic's type names."""
    keys: list[str] = []
    value: Any = document
    for part in detail["loc"]:
        is_index = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_index or (isinstance(value, dict) and part in value):
            keys.append(str(part))
            value = value[part]
    if detail["type"] == "missing":
        keys.append(str(detail["loc"][-1]))
    return tuple(keys)


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return UNKNOWN
    words = WORDS.get(detail["type"])
    if words is not None:
        return words.format(**detail.get("ctx", {}))
    message = detail["msg"].removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"


def _sentence(keys: tuple[str, ...], messages: list[str]) -> str:
    where = ".".join(keys) or "the recipe"
    if messages != [UNKNOWN]:
        return f"{where}: {', or '.join(messages)}."
    known = _known_keys(Recipe, keys[:-1])
    hint = nearest(keys[-1], known) or f"known keys: {', '.join(known)}."
    return f"unknown key '{where}'; {hint}"


def _is_inside(keys: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return len(keys) > len(outer) and keys[: len(outer)] == outer


def _known_keys(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation
        candidates = (annotation, *get_args(annotation))
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)
