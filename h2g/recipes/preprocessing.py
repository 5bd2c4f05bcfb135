"""How a slide becomes what the networks see: tissue, patches, the low-resolution image; profiles.

Resolutions are in um/px (mpp), shares in [0, 1].
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from h2g.fast_versions import FastName
from h2g.recipes.base import Frozen, Positive, Share

Profile = Literal["paper", "fast", "fast-4.15"]
PatchRule = Literal["mpp", "fast-4.9", "fast-4.15"]
# The coarsest level there is; or FAST 4.9's (h2g.slides.fast_levels).
CoarsestLevel = Literal["coarsest", "fast-4.9"]


class TissueSettings(Frozen):
    """Which pixels are tissue: one rule, one threshold, closings, at one resolution.

    Rules: ``saturation`` (8-bit HSV saturation > threshold; H2G-Net section 2.2),
    ``white-distance`` (Euclidean RGB distance to white > threshold, and not black; FAST's
    TissueSegmentation),
    ``otsu`` (saturation above Otsu's threshold; ``threshold`` unused).
    ``level`` says what counts as the coarsest level where ``mpp`` is null.
    """

    rule: Literal["saturation", "white-distance", "otsu"] = "saturation"
    threshold: float = 20
    closing_px: tuple[int, ...] = (5, 3)
    mpp: Positive | None = 8.0  # None: the slide's coarsest level as it is
    level: CoarsestLevel = "coarsest"


class PatchSettings(Frozen):
    """Patches of ``size_px`` at ``mpp``; levels within ``tolerance`` of it are not resampled.

    A patch is kept when its share of tissue is above ``min_tissue``. Rules ``fast-4.9`` and
    ``fast-4.15`` choose the level, read and test patches as those versions of FAST do
    (h2g.slides.fast_patches).
    """

    rule: PatchRule = "mpp"
    mpp: Positive = 1.0
    size_px: Annotated[int, Field(ge=16)] = 256
    tolerance: Share = 0.1
    min_tissue: Share = 0.25


class LowResolutionSettings(Frozen):
    """The image of the slide that the refinement network sees.

    ``at-least`` takes the coarsest level with both sides >= ``min_side_px``, reduced by a whole
    factor when a side has more than ``max_side_px``; ``coarsest`` takes the last level as it is,
    ``fast-4.9`` the last one that FAST 4.9 knows.
    """

    level: Literal["at-least", CoarsestLevel] = "at-least"
    min_side_px: int = 1024
    max_side_px: int = 8192


class Preprocessing(Frozen):
    """The one way from slide to networks that preparing, training, prediction and export share."""

    profile: Profile = "paper"
    tissue: TissueSettings = TissueSettings()
    patch: PatchSettings = PatchSettings()
    low_resolution: LowResolutionSettings = LowResolutionSettings()

    @model_validator(mode="before")
    @classmethod
    def _fast_is_named(cls, values: Any) -> Any:
        return with_fast_named(values)

    @property
    def fast_version(self) -> FastName | None:
        """The versions of FAST that choose patches in this way (h2g.fast_versions)."""
        names: dict[PatchRule, FastName] = {"fast-4.9": "4.9", "fast-4.15": "4.15"}
        return names.get(self.patch.rule)


def with_fast_named(section: Any) -> Any:
    """The preprocessing section with ``fast-4.15`` where it has the rule ``fast``.

    Recipes had that rule before FAST's versions were told apart. Any other section is returned as
    it is.
    """
    patch = section.get("patch") if isinstance(section, dict) else None
    if not isinstance(patch, dict) or patch.get("rule") != "fast":
        return section
    return {**section, "profile": "fast-4.15", "patch": {**patch, "rule": "fast-4.15"}}


def _fast_profile(profile: Profile, rule: PatchRule, level: CoarsestLevel) -> Preprocessing:
    return Preprocessing(
        profile=profile,
        tissue=TissueSettings(
            rule="white-distance", threshold=85, closing_px=(9,), mpp=None, level=level
        ),
        patch=PatchSettings(rule=rule, min_tissue=0.5),
        low_resolution=LowResolutionSettings(level=level),
    )


# ``fast`` is what FastPathology does, which is built on FAST 4.9.
PROFILES: dict[str, Preprocessing] = {
    "paper": Preprocessing(),
    "fast": _fast_profile("fast", "fast-4.9", "fast-4.9"),
    "fast-4.15": _fast_profile("fast-4.15", "fast-4.15", "coarsest"),
}
