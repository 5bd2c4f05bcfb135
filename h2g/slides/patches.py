"""Plans of a slide's patches by the recipe's rule."""

from __future__ import annotations

from typing import Any

from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.fast_patches import FastPatches, plan_fast_patches
from h2g.slides.info import SlideInfo
from h2g.slides.mpp_patches import MppPatches, plan_mpp_patches
from h2g.slides.patch_plan import PatchPlan

PLANS: dict[str, type[PatchPlan]] = {plan.__name__: plan for plan in (MppPatches, FastPatches)}


def plan_patches(info: SlideInfo, settings: PatchSettings) -> PatchPlan:
    """Plans how a slide's patches are cut.

    Raises:
        SlideError: every level is coarser than the wanted um/px, or the slide has no resolution.
    """
    version = settings.fast_version
    if version is not None:
        return plan_fast_patches(info, settings, version)
    return plan_mpp_patches(info, settings)


def plan_of(kind: str, values: dict[str, Any]) -> PatchPlan:
    """A plan from the values of ``dataclasses.asdict``, also after a round trip through JSON.

    Args:
        kind: name of the plan's class.
    Raises:
        KeyError, TypeError: the kind is unknown, or the values do not fit it.
    """
    pairs = {key: tuple(value) for key, value in values.items() if isinstance(value, list | tuple)}
    return PLANS[kind](**{**values, **pairs})
