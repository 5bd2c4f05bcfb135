"""Settings of classes, of the labels of patches, and of the sampling tree."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, model_validator

from h2g.recipes.base import Frozen, Share, without_null


class AnnotationSettings(Frozen):
    """Mapping of names in annotation files to classes; background is class 0 and is not listed.

    ``classes`` maps each class to its names in annotation files (compared without case). Mask files
    hold the class's number (1, 2, ...) or, with one class, any non-zero value. Later classes are
    drawn over earlier ones. Names in ``ignored`` are skipped. Any other name is an error unless
    ``unlisted`` is ``ignore``.
    """

    classes: Annotated[
        dict[str, tuple[str, ...]],
        BeforeValidator(without_null, json_schema_input_type=dict[str, tuple[str, ...] | None]),
    ] = {"tumour": ("tumour", "tumor")}
    """Names in annotation files, by class; later classes are drawn over earlier ones."""
    ignored: tuple[str, ...] = ()
    """Names in annotation files that are skipped."""
    unlisted: Literal["error", "ignore"] = "error"
    """Treatment of other names: an error, or ignored."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("background", *self.classes)


class LabelSettings(Frozen):
    """Rule for the class of a patch (H2G-Net section 2.2).

    A patch gets a class that covers more than ``min_class`` of it, and background if nothing in it
    is annotated. Other patches are left out.
    """

    min_class: Share = 0.25
    """Share of a patch above which it gets a class."""


class SamplerSettings(Frozen):
    """Levels of the sampling tree, root first; each is drawn uniformly (H2G-Net section 2.3)."""

    order: tuple[Literal["grade", "slide", "label"], ...] = ("grade", "slide", "label")
    """Levels of the tree that patches are drawn from, root first."""

    @model_validator(mode="after")
    def _check_order(self) -> SamplerSettings:
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"order {', '.join(self.order)} names a level twice; name each once")
        return self
