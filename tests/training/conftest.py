"""One small run of all stages, trained once and shared; tests that change it copy it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, open_run, start_run
from h2g.recipes.patch import PatchStage
from h2g.recipes.preprocessing import PatchSettings, Preprocessing
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage
from h2g.stages.run_chain import train_run
from tests.shared_folders import shared_folder

RECIPE = Recipe(
    name="small",
    description="Both stages, small enough for a test.",
    seed=5,
    # Level 1 of the slides, 64 um a patch.
    preprocessing=Preprocessing(patch=PatchSettings(mpp=2.0, size_px=32)),
    patch=PatchStage(
        options={"alpha": 0.35},
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


@pytest.fixture(scope="session")
def trained_run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All stages done; read only."""

    def make(folder: Path) -> None:
        train_run(start_run(folder, read_cohort(phantom_cohort), RECIPE), jobs=1)

    return open_run(shared_folder(tmp_path_factory, "trained_run", make))


@pytest.fixture
def own_run(trained_run: Run, tmp_path: Path) -> Run:
    """A copy of the trained run, to be changed."""
    shutil.copytree(trained_run.path, tmp_path / "run")
    return open_run(tmp_path / "run")
