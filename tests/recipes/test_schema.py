"""The JSON schema of recipe files."""

from typing import Any

import jsonschema
import pytest
import yaml

from h2g.recipes.reading import recipe_names, recipe_text
from h2g.recipes.schema import recipe_schema

SCHEMA = recipe_schema()
MINE = {"name": "mine", "description": "a test"}


def mistakes(document: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(document)]


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_fits(name: str) -> None:
    assert mistakes(yaml.safe_load(recipe_text(name))) == []


@pytest.mark.parametrize(
    "section",
    [
        {"extends": "mob-pw", "patch": None, "refinement": {"inputs": "image"}},
        {"annotation": {"classes": {"tumour": None, "benign": ["cyst"]}}},
        {"patch": {"options": {"alpha": None}, "class_weights": {"tumour": 2}}},
    ],
)
def test_parts_of_a_recipe_fit(section: dict[str, Any]) -> None:
    assert mistakes(MINE | section) == []


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (MINE | {"pach": {}}, "pach"),
        (MINE | {"preprocessing": {"patch": {"size": 256}}}, "size"),
        (MINE | {"labels": {"min_class": 3}}, "maximum"),
        (MINE | {"extends": ["mob-pw"]}, "not of type 'string'"),
        ({"name": "mine"}, "'description' is a required property"),
        ({"description": "a test"}, "'name' is a required property"),
    ],
)
def test_mistakes_do_not_fit(document: dict[str, Any], words: str) -> None:
    (message,) = mistakes(document)
    assert words in message


def test_every_key_is_described() -> None:
    sections = {"Recipe": SCHEMA, **SCHEMA["$defs"]}
    bare = [
        f"{section}.{key}"
        for section, part in sections.items()
        for key, value in part["properties"].items()
        if not value.get("description")
    ]
    assert bare == []
