"""Settings of classes, of the labels of patches, and of the sampling tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_validator, model_validator

from h2g.recipes.base import Frozen, Positive, Share, without_null
from h2g.texts import same_text

BACKGROUND = "background"
# What stands for the annotated part of a slide where a name's class is looked up; no class can have
# this name.
REGION = "$region"
# Columns beside those of the classes in the table of patch counts.
COUNT_COLUMNS = ("split", "grade", "slide")
# Characters that end a class's name, or its text, in a FAST pipeline.
RESERVED = ('"', ";", "\n", "@@", "$")


def _names(values: Any) -> Any:
    """A list of names in annotation files, without spaces around them."""
    if isinstance(values, str):
        raise ValueError(f"'{values}' is not a list; write ['{values}']")
    if not isinstance(values, (list, tuple)):
        return values
    for value in values:
        if not isinstance(value, str):
            raise ValueError(
                f"the name {value!r} is not text to YAML; put it in quotes, as in ['1', 'no']"
            )
        if not value.strip():
            raise ValueError("a name is empty; write it or take it out of the list")
    return [value.strip() for value in values]


# Names in annotation files.
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class AnnotationSettings(Frozen):
    """Mapping of names in annotation files to classes; background is class 0 and is not listed.

    ``classes`` maps each class to its names in annotation files (compared without case). Mask files
    hold the class's number (1, 2, ...) or, with one class, any non-zero value. Later classes are
    drawn over earlier ones. Names in ``background`` are cut out of what the file drew before them.
    Outlines named in ``region`` enclose the annotated part of the slide: outside them nothing is
    learnt or scored. Names in ``ignored`` are skipped. Any other name is an error unless
    ``unlisted`` says otherwise.
    """

    classes: Annotated[
        dict[str, Names],
        BeforeValidator(without_null, json_schema_input_type=dict[str, tuple[str, ...] | None]),
    ] = {"tumour": ("tumour", "tumor")}
    """Names in annotation files, by class; later classes are drawn over earlier ones."""
    background: Names = ()
    """Names in annotation files that are cut out of the outlines drawn before them."""
    region: Names = ()
    """Names of outlines inside which the slide is annotated, such as Region* or ROI."""
    ignored: Names = ()
    """Names in annotation files that are skipped."""
    unlisted: Literal["error", "ignore", "region"] = "error"
    """Treatment of other names: an error, ignored, or as those in region."""

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if not classes:
            raise ValueError("there is no class; write one, as in tumour: [tumour, tumor]")
        for name in classes:
            if reason := _refusal(name):
                raise ValueError(reason)
        return classes

    @model_validator(mode="after")
    def _check_names(self) -> AnnotationSettings:
        # A class's own name belongs to it, too.
        names = [(each, name) for name, listed in self.classes.items() for each in (name, *listed)]
        names += [(each, BACKGROUND) for each in self.background]
        names += [(each, REGION) for each in self.region]
        first: dict[str, tuple[str, str]] = {}
        for each, class_name in names:
            _, other = first.setdefault(same_text(each), (each, class_name))
            if other != class_name:
                raise ValueError(
                    f"the name '{each}' is in {_list_of(other)} and in {_list_of(class_name)} "
                    "(compared without case); leave it in one of them"
                )
        for each in self.ignored:
            if same_text(each) in first:
                _, class_name = first[same_text(each)]
                raise ValueError(
                    f"the name '{each}' is in ignored and in {_list_of(class_name)}; leave it in "
                    "one of them"
                )
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        return (BACKGROUND, *self.classes)

    @property
    def class_of_name(self) -> dict[str, str]:
        """The class of each name in annotation files, or background, or REGION.

        Look up :func:`~h2g.texts.same_text` of a name.
        """
        own = {same_text(name): name for name in self.classes}
        listed = {same_text(each): name for name, names in self.classes.items() for each in names}
        cut = {same_text(each): BACKGROUND for each in self.background}
        region = {same_text(each): REGION for each in self.region}
        return {**own, **listed, **cut, **region}


def _list_of(class_name: str) -> str:
    return "annotation.region" if class_name == REGION else f"the class '{class_name}'"


def _refusal(name: str) -> str | None:
    """The reason why a class cannot have this name; None if it can."""
    if not name.strip():
        return "a class has no name; write one, such as tumour"
    if name != name.strip():
        return f"the class name '{name}' has spaces around it; take them out"
    if same_text(name) == BACKGROUND:
        return (
            f"'{name}' is class 0 in every recipe and is not listed; list names that mean "
            "background under annotation.background"
        )
    if name in COUNT_COLUMNS:
        return (
            f"'{name}' is a column of the table of patches beside the classes; give the class "
            "another name and list this one in it, as in "
            f"{name} tissue: [{name}]"
        )
    if not name.isprintable() or any(part in name for part in RESERVED):
        characters = " ".join(map(repr, RESERVED))
        return (
            f"the class name {name!r} holds a line break, a control character or one of "
            f"{characters}, which have another meaning in a FAST pipeline; give the class another "
            f"name and list this one in it, as in tumour: [{name!r}]"
        )
    return None


class LabelSettings(Frozen):
    """Rule for the class of a patch.

    Rules: ``class`` (H2G-Net section 2.2: a patch gets a class that covers more than ``min_class``
    of it, and background if nothing in it is annotated; others are left out), ``any`` (the class
    that covers most of it, however little), ``share`` (HI-Net: the same, but patches whose share of
    all classes is outside ``share_range`` are left out, so there is no background).
    """

    rule: Literal["class", "any", "share"] = "class"
    """Rule that gives a patch its class, or leaves it out."""
    min_class: Share = 0.25
    """Share of a patch above which it gets a class, for the rule class."""
    share_range: tuple[Share, Share] = (0.05, 0.995)
    """Smallest and largest share of all classes together, for the rule share."""


class SamplerSettings(Frozen):
    """Levels of the sampling tree, root first; each is drawn uniformly (H2G-Net section 2.3).

    ``rates`` is not in the paper. It draws the labels at other rates: with ``{background: 3}``,
    three patches of background for each of tumour, as the BRACS paper did.
    """

    order: tuple[Literal["grade", "slide", "label"], ...] = ("grade", "slide", "label")
    """Levels of the tree that patches are drawn from, root first."""
    rates: dict[str, Positive] | None = None
    """Relative rates of the level label by class name, 1 for others; null draws all alike."""

    @model_validator(mode="after")
    def _check_order(self) -> SamplerSettings:
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"order {', '.join(self.order)} names a level twice; name each once")
        if self.rates and "label" not in self.order:
            raise ValueError("rates are of the level label; name it in order, or leave out rates")
        return self

    def rates_of(self, class_names: Sequence[str]) -> tuple[float, ...] | None:
        """The rates of all classes; None if all are drawn alike."""
        rates = self.rates
        return None if rates is None else tuple(rates.get(name, 1.0) for name in class_names)
