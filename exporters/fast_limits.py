"""Differences between FAST and a model's training: each is an error, or an accepted change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT
from h2g.errors import WrongUseError
from h2g.exporters.fast_text import TEMPLATES, fast_chain
from h2g.fast_versions import FastName
from h2g.folders.bundle import Card
from h2g.recipes.annotation import RESERVED
from h2g.recipes.preprocessing import PROFILES, CoarsestLevel, Preprocessing, Profile
from h2g.recipes.reading import setting_differences

# From 4.10 on, PatchGenerator reads a level within this share of the wanted um/px unscaled.
TOLERANCE = 0.1
# FAST cuts patches with an overlap unless their side is a multiple of this.
SIDE_MULTIPLE = 16
# FastPathology is built on this version.
DEFAULT: FastName = "4.9"
PROFILE_OF: dict[FastName, Profile] = {
    each.fast_version: each.profile for each in PROFILES.values() if each.fast_version
}


def check_suits_fast(card: Card) -> None:
    """Raises WrongUseError, with a reason for each setting that FAST cannot follow."""
    reasons = [*_of_networks(card), *_of_tissue(card), *_of_patches(card)]
    if reasons:
        raise WrongUseError(f"{card.name} cannot be exported for FAST: {'; '.join(reasons)}.")


def _of_networks(card: Card) -> Iterator[str]:
    if fast_chain(card) not in TEMPLATES:
        chains = "; ".join(" and ".join(chain) for chain in TEMPLATES)
        yield (
            f"it has the networks {' and '.join(fast_chain(card))}, and pipelines exist for: "
            f"{chains}"
        )
    for name, network in card.networks.items():
        if HEATMAP_INPUT in network.inputs and not card.takes_patches:
            yield f"its {name} network takes a heatmap, and no network makes one; export the run"
        if not network.many and IMAGE_INPUT not in network.inputs:
            yield (
                f"its {name} network sees only the heatmap, and FAST places results by the "
                "network's image of the slide"
            )
    for name in card.class_names:
        if any(part in name for part in RESERVED):
            yield (
                f"the class name '{name}' contains one of {' '.join(map(repr, RESERVED))}, which "
                "have another meaning in a pipeline; rename the class in the recipe"
            )
    if card.preprocessing.low_resolution.windows is not None:
        yield (
            "its refinement network sees windows (refinement.field), and a pipeline cannot cut the "
            "same windows out of slide and heatmap; train with refinement.field: whole"
        )
    level, wanted = card.preprocessing.low_resolution.level, _level(card)
    if level != wanted and card.slide_networks:
        yield (
            f"the refinement network was trained on low_resolution.level '{level}', and the "
            f"pipeline takes '{wanted}'"
        )


def _of_tissue(card: Card) -> Iterator[str]:
    tissue = card.preprocessing.tissue
    if tissue.rule != "white-distance":
        yield f"tissue.rule is '{tissue.rule}', and FAST's is 'white-distance'"
    if tissue.mpp is not None:
        yield (
            f"tissue.mpp is {tissue.mpp:g}, and FAST finds tissue in the coarsest level "
            "(tissue.mpp null)"
        )
    if tissue.level != _level(card):
        yield f"tissue.level is '{tissue.level}', and the pipeline takes '{_level(card)}'"
    if tissue.threshold != int(tissue.threshold) or tissue.threshold < 0:
        yield f"tissue.threshold is {tissue.threshold:g}, and FAST takes whole numbers"
    sizes = tissue.closing_px
    if len(sizes) > 1 or any(size < 3 or size % 2 == 0 for size in sizes):
        yield (
            f"tissue.closing_px is {list(sizes)}, and FAST closes once, with an odd number of "
            "pixels from 3 on, or not at all"
        )


def _of_patches(card: Card) -> Iterator[str]:
    patch = card.preprocessing.patch
    if card.preprocessing.fast_version is None:
        yield (
            f"patch.rule is '{patch.rule}', so patches were not chosen as FAST chooses them "
            "(patch.rule fast-4.9 or fast-4.15)"
        )
    if patch.step_px % SIDE_MULTIPLE:
        yield (
            f"patches have {patch.step_px} px without margins (patch.size_px, patch.margin_px), "
            f"and FAST places them side by side only if that is a multiple of {SIDE_MULTIPLE}"
        )
    if patch.margin_px and "tiles" not in fast_chain(card):
        yield (
            f"patch.margin_px is {patch.margin_px}, and FAST has margins only around tiles that "
            "are segmented (patch.answer mask)"
        )
    if patch.adaptive is not None:
        yield (
            "patch.adaptive chooses some patches, and FAST classifies every patch (patch.adaptive "
            "null)"
        )
    if patch.rule == "fast-4.15" and patch.tolerance != TOLERANCE:
        yield f"patch.tolerance is {patch.tolerance:g}, and FAST's is {TOLERANCE:g}"


def _level(card: Card) -> CoarsestLevel:
    """A recipe's name for the ``level -1`` of a pipeline."""
    return "fast-4.9" if card.preprocessing.fast_version == "4.9" else "coarsest"


def with_fast_preprocessing(
    card: Card, *, fast_version: FastName | None, accept_change: bool
) -> Card:
    """The card with FAST's own preprocessing: tissue rule, patch test and low-resolution level.

    Args:
        fast_version: version of FAST; None is the one that the model was trained for, or 4.9.
        accept_change: accept networks that were trained with another profile; the card then lists
            the differences.
    Raises:
        WrongUseError: the profile differs, and the change was not accepted.
    """
    trained = card.preprocessing
    version = fast_version or trained.fast_version or DEFAULT
    if trained.fast_version == version:
        return card
    changed = _fast_preprocessing(trained, PROFILE_OF[version])
    text = _changes(trained, changed)
    if not accept_change:
        raise WrongUseError(
            f"{card.name} was trained with preprocessing profile '{trained.profile}', and FAST "
            f"{version} uses its own, which differs: {text}. {_ways_out(trained, version)}"
        )
    note = (
        f"trained with profile '{trained.profile}', exported with that of FAST {version}: {text}."
    )
    return card.model_copy(update={"preprocessing": changed, "preprocessing_change": note})


def _ways_out(trained: Preprocessing, version: FastName) -> str:
    own = trained.fast_version
    train = (
        f"Export it with --fast-version {own}, for which it was trained; or train"
        if own
        else "Train"
    )
    return (
        f"{train} with preprocessing.profile={PROFILE_OF[version]} for FAST {version}, or add "
        "--accept-preprocessing-change and measure the cost; the other formats need no change."
    )


def _fast_preprocessing(trained: Preprocessing, profile: Profile) -> Preprocessing:
    fast = PROFILES[profile]
    same = {"mpp": trained.patch.mpp, "size_px": trained.patch.size_px}
    windows = {"windows": trained.low_resolution.windows}
    return fast.model_copy(
        update={
            "patch": fast.patch.model_copy(update=same),
            "low_resolution": fast.low_resolution.model_copy(update=windows),
        }
    )


def _changes(old: Preprocessing, new: Preprocessing) -> str:
    differences = setting_differences(old.model_dump(), new.model_dump())
    return ", ".join(
        f"{key} {_text(before)} -> {_text(after)}"
        for key, before, after in differences
        if key != "profile"
    )


def _text(value: Any) -> str:
    if value is None:
        return "the level's own"
    if isinstance(value, (tuple, list)):
        return "+".join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
