"""Names of classes, and names in annotation files."""

from __future__ import annotations

import pytest

from h2g.errors import RecipeError
from h2g.recipes.reading import load_recipe


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            "classes={background: [Stroma], tumour: [Tumor]}",
            "'background' is class 0 .*n.background",
        ),
        ("classes={Background: []}", "'Background' is class 0 in every recipe"),
        ("classes={tumour: [Tumor], slide: [Stroma]}", "'slide' is a column .*another name"),
        ("classes={grade: []}", "'grade' is a column of the table of patches"),
        ("classes={}", "classes: there is no class; write one"),
        ("classes={tumour: null}", "classes: there is no class; write one"),
        ("classes={tumour: Tumor}", r"classes\.tumour: 'Tumor' is not a list; write \['Tumor'\]"),
        ("classes={tumour: 3}", r"classes\.tumour: input should be a list"),
        (
            "classes={tumour: [Tumor], other: [tumor]}",
            "'tumor' is in the class 'tumour' and",
        ),
        (
            "classes={tumour: [Tumor], other: [' TUMOUR ']}",
            "'TUMOUR' is in the class 'tumour'",
        ),
        (
            "classes={tumour: [], Tumour: []}",
            "'Tumour' is in the class 'tumour' and",
        ),
        ("classes.tumour=[1]", r"the name 1 is not text to YAML; put it in quotes"),
        ("classes.tumour=[no]", r"the name False is not text to YAML; put it in quotes"),
        ("classes={1: [x]}", r"classes\.1: input should be text, in quotes"),
        ("classes.tumour=['']", "a name is empty; write it"),
        ("classes={'': []}", "a class has no name; write one"),
        ("classes={' ': []}", "a class has no name; write one"),
        ("classes={' a': []}", "' a' has spaces around it; take them out"),
        ('classes={"a\\nb": []}', r"'a\\nb' holds a line break.* give the class another name"),
        ("classes={'a;b': []}", "'a;b' holds .*another meaning in a FAST pipeline"),
        ("ignored=Stroma", "ignored: 'Stroma' is not a list"),
        ("region=[Tumor]", "'Tumor' is in the class 'tumour' and in annotation.region"),
        ("ignored=[Stroma, TUMOR]", "'TUMOR' is in ignored and in the class 'tumour'"),
    ],
)
def test_names_that_cannot_be_used(value: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=f"demo: annotation.*{sentence}"):
        load_recipe("demo", (f"annotation.{value}",))


def test_names_that_can() -> None:
    override = "annotation.classes={in situ/low: [' In situ: Tumor ', '1'], Total: [], 'a, b': []}"
    settings = load_recipe("demo", (override, "annotation.ignored=[background]")).annotation
    assert settings.class_names == ("background", "in situ/low", "Total", "a, b")
    assert settings.classes["in situ/low"] == ("In situ: Tumor", "1")
    assert settings.class_of_name == {
        "in situ/low": "in situ/low",
        "in situ: tumor": "in situ/low",
        "1": "in situ/low",
        "total": "Total",
        "a, b": "a, b",
    }


def test_rates_are_of_the_recipes_classes() -> None:
    rates = load_recipe("demo", ("sampler.rates={background: 3}",)).sampler
    assert rates.rates_of(("background", "tumour")) == (3, 1)
    assert load_recipe("demo").sampler.rates_of(("background", "tumour")) is None
    with pytest.raises(RecipeError, match="sampler.rates: no class tumor; the classes are"):
        load_recipe("demo", ("sampler.rates={tumor: 3}",))
    with pytest.raises(RecipeError, match="rates are of the level label"):
        load_recipe("demo", ("sampler.rates={tumour: 3}", "sampler.order=[slide]"))
