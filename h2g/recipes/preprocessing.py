"""Settings of preprocessing: tissue, patches, the low-resolution image, and profiles of them.

Resolutions are in um/px (mpp), shares in [0, 1].
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from h2g.fast_versions import FastName
from h2g.recipes.base import Frozen, Positive, Share

Profile = Literal["paper", "fast", "fast-4.15"]
PatchRule = Literal["mpp", "fast-4.9", "fast-4.15"]
# The slide's coarsest level, or the coarsest that FAST 4.9 knows (h2g.slides.fast_levels).
CoarsestLevel = Literal["coarsest", "fast-4.9"]


class TissueSettings(Frozen):
    """The rule for tissue: one threshold and a list of closings, at one resolution.

    Rules: ``saturation`` (8-bit HSV saturation > threshold; H2G-Net section 2.2),
    ``white-distance`` (Euclidean RGB distance to white > threshold, and not black; FAST's
    TissueSegmentation), ``otsu`` (saturation above Otsu's threshold), ``otsu-hs`` (hue and
    saturation above Otsu's thresholds; HI-Net section 3.1).
    """

    rule: Literal["saturation", "white-distance", "otsu", "otsu-hs"] = "saturation"
    """Rule that separates tissue from glass."""
    threshold: float = 20
    """Threshold of the rule: 8-bit saturation, or RGB distance to white; unused by Otsu's."""
    closing_px: tuple[int, ...] = (5, 3)
    """Sizes of the squares (discs for white-distance) that close the mask, in order."""
    mpp: Positive | None = 8.0
    """Resolution at which the rule is applied, in um/px; null takes the slide's coarsest level."""
    level: CoarsestLevel = "coarsest"
    """The level that counts as the coarsest if mpp is null."""


class AdaptiveSettings(Frozen):
    """The choice of patches in adaptive prediction (h2g.slides.adaptive_cells)."""

    threshold: Share = 0.3
    """Difference of a probability between neighbours above which a patch is classified."""
    darker: Positive | None = None
    """Difference of mean red (of 255) above which a patch darker than its neighbours is, too."""

    def __str__(self) -> str:
        darker = "" if self.darker is None else f":{self.darker:g}"
        return f"adaptive:{self.threshold:g}{darker}"


class PatchSettings(Frozen):
    """Patches of ``size_px`` at ``mpp``; levels within ``tolerance`` of it are not resampled.

    A patch is kept if its share of tissue is above ``min_tissue``. The rules ``fast-4.9`` and
    ``fast-4.15`` choose the level, and read and test patches, as those versions of FAST do
    (h2g.slides.fast_patches). ``adaptive`` is not in the paper: prediction then estimates patches
    among neighbours that agree (h2g.slides.adaptive_cells). Training and evaluation classify all.
    """

    rule: PatchRule = "mpp"
    """Rule that chooses the level, reads and tests patches: mpp, or a version of FAST."""
    mpp: Positive = 1.0
    """Resolution of a patch, in um/px; 1.0 is a 10x objective."""
    size_px: Annotated[int, Field(ge=16)] = 256
    """Side of a patch in pixels."""
    tolerance: Share = 0.1
    """Levels within this share of mpp are read without resampling."""
    min_tissue: Share = 0.25
    """A patch is kept if its share of tissue is above this."""
    margin_px: Annotated[int, Field(ge=0)] = 0
    """Margin on each side that only gives context; neighbouring patches overlap by twice this."""
    adaptive: AdaptiveSettings | None = None
    """Choice of the patches that prediction classifies; null classifies all."""

    @model_validator(mode="after")
    def _check_margins(self) -> PatchSettings:
        if self.step_px <= 0:
            raise ValueError(
                f"margin_px {self.margin_px} on both sides leaves nothing of size_px {self.size_px}"
            )
        return self

    @property
    def step_px(self) -> int:
        """Side of the patch without its margins."""
        return self.size_px - 2 * self.margin_px

    @property
    def fast_version(self) -> FastName | None:
        """The versions of FAST that cut patches in this way (h2g.fast_versions)."""
        names: dict[PatchRule, FastName] = {"fast-4.9": "4.9", "fast-4.15": "4.15"}
        return names.get(self.rule)


class WindowSettings(Frozen):
    """Windows of the low-resolution image, which a refinement network sees one by one.

    The section refinement sets them (h2g.recipes.refinement), a recipe does not.
    """

    side_px: Annotated[int, Field(ge=16)]
    """Side of a window in pixels."""
    mpp: Positive
    """Resolution of the image, in um/px."""
    overlap: Annotated[float, Field(ge=0, le=0.75)]
    """Least share of a side that neighbouring windows have in common."""

    @property
    def side_mm(self) -> float:
        return self.side_px * self.mpp / 1000


class LowResolutionSettings(Frozen):
    """The image of the slide for the refinement network.

    ``at-least`` takes the coarsest level with both sides >= ``min_side_px``, reduced by a whole
    factor if a side has more than ``max_side_px``. ``coarsest`` takes the last level, and
    ``fast-4.9`` the last level that FAST 4.9 knows. With windows, results are drawn on this image,
    and the network sees another one at the um/px of the windows.
    """

    level: Literal["at-least", CoarsestLevel] = "at-least"
    """Level that is read: the coarsest with both sides of at least min_side_px, or the last."""
    min_side_px: int = 1024
    """Smallest side of the level, for at-least."""
    max_side_px: int = 8192
    """Limit for at-least; a level with a longer side is reduced by a whole factor."""
    windows: WindowSettings | None = None
    """Set by refinement.field: windows; null shows the network the whole image at once."""


class Preprocessing(Frozen):
    """Preprocessing of slides, the same in preparation, training, prediction and export."""

    profile: Profile = "paper"
    """Source of values that are left out: the paper, or a version of FAST."""
    tissue: TissueSettings = TissueSettings()
    """Rule for tissue."""
    patch: PatchSettings = PatchSettings()
    """Size and resolution of patches, and the rule that keeps them."""
    low_resolution: LowResolutionSettings = LowResolutionSettings()
    """The image of the slide for the refinement network."""

    @model_validator(mode="before")
    @classmethod
    def _name_fast_version(cls, values: Any) -> Any:
        return with_fast_named(values)

    @property
    def fast_version(self) -> FastName | None:
        """The versions of FAST that choose patches in this way (h2g.fast_versions)."""
        return self.patch.fast_version


def with_fast_named(section: Any) -> Any:
    """The preprocessing section with the rule ``fast`` replaced by ``fast-4.15``.

    Recipes had this rule before h2g knew several versions of FAST. Other sections are returned
    unchanged.
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


# ``fast`` follows FastPathology, which is built on FAST 4.9.
PROFILES: dict[str, Preprocessing] = {
    "paper": Preprocessing(),
    "fast": _fast_profile("fast", "fast-4.9", "fast-4.9"),
    "fast-4.15": _fast_profile("fast-4.15", "fast-4.15", "coarsest"),
}
