"""A small recipe of all stages, and its trained run."""

from __future__ import annotations

from pathlib import Path

from h2g.folders.cohort import read_cohort
from h2g.folders.run import start_run
from h2g.recipes.patch import PatchStage
from h2g.recipes.preprocessing import PatchSettings, Preprocessing
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage
from h2g.stages.run_chain import train_run
from tests.small_patch_network import MODEL, OPTIONS

RECIPE = Recipe(
    name="small",
    description="Both stages, small enough for a test.",
    seed=5,
    # Level 1 of the slides, 64 um a patch.
    preprocessing=Preprocessing(patch=PatchSettings(mpp=2.0, size_px=32)),
    patch=PatchStage(
        model=MODEL,
        options=OPTIONS,
        weights="none",
        batch_size=8,
        steps_per_epoch=3,
        validation_steps=2,
        epochs=3,
        learning_rate=3e-3,
        schedule="cosine",
        workers=2,
    ),
    refinement=RefinementStage(
        options={"filters": [4, 8]},
        input_px=64,
        batch_size=2,
        accumulation_steps=1,
        epochs=2,
        patience=None,
        batch_norm_momentum=0.9,
    ),
)


def write_small_run(folder: Path, cohort: Path) -> None:
    """Writes a run folder of RECIPE with all stages done."""
    train_run(start_run(folder, read_cohort(cohort), RECIPE))
