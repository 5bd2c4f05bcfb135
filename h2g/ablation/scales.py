"""The scales of an ablation: changes to the recipes of the paper's designs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from h2g.recipes.recipe import Recipe

SCALES = ("paper", "small")
# The small scale makes the changes of recipe 'demo' to design VI, in each stage of a design.
SMALL_PATCHES = ("preprocessing.patch.mpp=2.0", "preprocessing.patch.size_px=128")
SMALL_STAGES = {
    "clustering": ("clustering.batches=25",),
    "patch": (
        *("patch.weights=none", "patch.batch_size=32", "patch.workers=2"),
        *("patch.steps_per_epoch=50", "patch.validation_steps=20", "patch.epochs=7"),
        *("patch.learning_rate=3.0e-3", "patch.schedule=cosine"),
    ),
    "refinement": (
        *("refinement.input_px=256", "refinement.accumulation_steps=1"),
        *("refinement.steps_per_epoch=20", "refinement.epochs=15", "refinement.patience=null"),
        *("refinement.batch_norm_momentum=0.9", "refinement.jit_compile=true"),
    ),
}
# Further changes by network; each refinement network keeps four poolings.
SMALL_NETWORKS = {
    "mobilenet_v2": ("patch.options={alpha: 0.35}",),
    "inception_v3": ("patch.epochs=3",),  # a step takes six times that of the small MobileNetV2
    "unet": ("refinement.options={filters: [8, 16, 32, 64, 128]}",),
    "agu_net": ("refinement.options={filters: [8, 16, 32, 64, 128]}",),
    "dagu_net": ("refinement.options={filters: [8, 16, 32, 64, 128]}",),
    # Its ASPP follows the last width.
    "doubleu_net": ("refinement.options={filters: [8, 16, 32, 64], aspp_filters: 32}",),
}
CLASSIFIER = "mob-pw"  # the small scale clusters its features


def scale_overrides(
    scale: str, out: Path, *, seed: int, more: Sequence[str] = ()
) -> Callable[[Recipe], tuple[str, ...]]:
    """A function that gives the ``KEY=VALUE`` changes to a shipped recipe.

    Args:
        out: folder of all runs of the ablation.
        more: further changes to every design that has the section.
    """

    def changes(recipe: Recipe) -> tuple[str, ...]:
        further = [text for text in more if getattr(recipe, text.partition(".")[0], "") is not None]
        small = _small_overrides(recipe, out) if scale == "small" else ()
        return (f"seed={seed}", *small, *further)

    return changes


def clustered_model(out: Path) -> Path:
    """File of the classifier whose features the small scale clusters."""
    return out.resolve() / CLASSIFIER / "patch" / "model.keras"


def _small_overrides(recipe: Recipe, out: Path) -> tuple[str, ...]:
    # Design I learns nothing, so it is the same at both scales.
    networks = [stage.model for stage in (recipe.patch, recipe.refinement) if stage is not None]
    if networks == ["otsu"]:
        return ()
    changes: tuple[str, ...] = SMALL_PATCHES if recipe.patch is not None else ()
    for section, settings in SMALL_STAGES.items():
        if getattr(recipe, section) is not None:
            changes += settings
    if recipe.clustering is not None:
        changes += (f"clustering.features='{clustered_model(out)}'",)
    return changes + tuple(text for network in networks for text in SMALL_NETWORKS[network])
