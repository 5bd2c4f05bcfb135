"""From annotated slides to the patches of a batch: classes, labels, the sampling tree."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, model_validator

from h2g.recipes.base import Frozen, Share, without_null


class AnnotationSettings(Frozen):
    """How names in annotation files become classes; background is class 0 and is not listed.

    ``classes`` maps a class of ours to the names it has in annotation files (compared without
    case); mask files hold the class's number (1, 2, ...) or, with one class, any non-zero value.
    Later classes are drawn over earlier ones. Names in ``ignored`` are skipped; any other name
    stops reading unless ``unlisted`` is ``ignore``.
    """

    classes: Annotated[
        dict[str, tuple[str, ...]],
        BeforeValidator(without_null, json_schema_input_type=dict[str, tuple[str, ...] | None]),
    ] = {"tumour": ("tumour", "tumor")}
    """Names in annotation files, by class; later classes are drawn over earlier ones."""
    ignored: tuple[str, ...] = ()
    """Names in annotation files that are skipped."""
    unlisted: Literal["error", "ignore"] = "error"
    """Whether any other name is an error or is ignored."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("background", *self.classes)


class LabelSettings(Frozen):
    """Which class a patch gets (H2G-Net section 2.2).

    It gets a class when that class covers more than ``min_class`` of it, and background when
    nothing in it is annotated. Patches between the two are left out.
    """

    min_class: Share = 0.25
    """Share of a patch above which it gets a class."""


class SamplerSettings(Frozen):
    """Levels of the sampling tree, root first; each is drawn uniformly (H2G-Net section 2.3)."""

    order: tuple[Literal["grade", "slide", "label"], ...] = ("grade", "slide", "label")
    """Levels of the tree that patches are drawn from, root first."""

    @model_validator(mode="after")
    def _each_level_once(self) -> SamplerSettings:
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"order {', '.join(self.order)} names a level twice; name each once")
        return self
