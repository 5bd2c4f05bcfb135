"""The preprocessing that FAST does, in a card: what it was trained with, or an accepted change."""

from __future__ import annotations

from typing import Any

from h2g.bundle import Card
from h2g.errors import WrongUseError
from h2g.fast_versions import FastName
from h2g.recipes.recipe import PROFILES, Preprocessing, Profile

# What FastPathology is built on.
DEFAULT: FastName = "4.9"
PROFILE_OF: dict[FastName, Profile] = {"4.9": "fast", "4.15": "fast-4.15"}


def with_fast_preprocessing(
    card: Card, *, fast_version: FastName | None, accept_change: bool
) -> Card:
    """The card as it is true inside FAST, which has its own tissue rule, test of patches and
    low-resolution level.

    Args:
        fast_version: whose; None takes the one that the model was trained for, 4.9 if for none.
        accept_change: go on with networks that were trained with another profile; the card then
            says what differs.
    Raises:
        WrongUseError: another profile, and no change was accepted.
    """
    trained = card.preprocessing
    version = fast_version or trained.fast_version or DEFAULT
    if trained.fast_version == version:
        return card
    changed = _fast_preprocessing(trained, PROFILE_OF[version])
    text = ", ".join(_differences(trained.model_dump(), changed.model_dump()))
    if not accept_change:
        raise WrongUseError(
            f"{card.name} was trained with preprocessing profile '{trained.profile}', and FAST "
            f"{version} does its own, which differs: {text}. {_ways_out(trained, version)}"
        )
    note = (
        f"trained with profile '{trained.profile}', exported with that of FAST {version}: {text}."
    )
    return card.model_copy(update={"preprocessing": changed, "preprocessing_change": note})


def _ways_out(trained: Preprocessing, version: FastName) -> str:
    own = trained.fast_version
    also = f"Export it with --fast-version {own}, for which it was trained; or " if own else ""
    train = f"train with preprocessing.profile={PROFILE_OF[version]} for FAST {version}"
    return (
        f"{also}{train if also else train[0].upper() + train[1:]}, or go on with "
        "--accept-preprocessing-change and measure what it costs; the other formats need no change."
    )


def _fast_preprocessing(trained: Preprocessing, profile: Profile) -> Preprocessing:
    fast = PROFILES[profile]
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
