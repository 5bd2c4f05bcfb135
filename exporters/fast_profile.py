"""The preprocessing that FAST does, in a card: what it was trained with, or an accepted change."""

from __future__ import annotations

from typing import Any

from h2g.bundle import Card
from h2g.errors import WrongUseError
from h2g.recipes.recipe import PROFILES, Preprocessing


def with_fast_preprocessing(card: Card, *, accept_change: bool) -> Card:
    """The card as it is true inside FAST, which has its own tissue rule, test of patches and
    low-resolution level.

    Args:
        accept_change: go on with networks that were trained with another profile; the card then
            says what differs.
    Raises:
        WrongUseError: another profile, and no change was accepted.
    """
    trained = card.preprocessing
    if trained.profile == "fast":
        return card
    changed = _fast_preprocessing(trained)
    text = ", ".join(_differences(trained.model_dump(), changed.model_dump()))
    if not accept_change:
        raise WrongUseError(
            f"{card.name} was trained with preprocessing profile '{trained.profile}', and FAST "
            f"does its own, which differs: {text}. Train with preprocessing.profile=fast for "
            "FastPathology, or go on with --accept-preprocessing-change and measure what it costs; "
            "the other formats need no change."
        )
    note = f"trained with profile '{trained.profile}', exported with FAST's: {text}."
    return card.model_copy(update={"preprocessing": changed, "preprocessing_change": note})


def _fast_preprocessing(trained: Preprocessing) -> Preprocessing:
    fast = PROFILES["fast"]
    same = {"mpp": trained.patch.mpp, "size_px": trained.patch.size_px}
    return fast.model_copy(update={"patch": fast.patch.model_copy(update=same)})


def _differences(old: Any, new: Any, key: str = "") -> list[str]:
    if isinstance(old, dict):
        return [
            text
            for name in old
            if name != "profile"
            for text in _differences(old[name], new[name], f"{key}.{name}".lstrip("."))
        ]
    return [] if old == new else [f"{key} {_text(old)} -> {_text(new)}"]


def _text(value: Any) -> str:
    if value is None:
        return "the level's own"
    if isinstance(value, (tuple, list)):
        return "+".join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
