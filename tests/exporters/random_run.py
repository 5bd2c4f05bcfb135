"""A run folder whose networks have random weights, on slides of the generated cohort."""

from __future__ import annotations

import csv
from pathlib import Path

import keras
import numpy as np

from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, start_run
from h2g.models.registry import build_refinement_model
from h2g.recipes.reading import validate_recipe
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.tiff_files import write_heatmap
from h2g.stages.prepare.prepare_run import prepare_run

PATCH_PX, INPUT_PX = 32, 64
FILTERS = [4, 8]


def write_run(
    folder: Path, cohort: Path, *, refines: bool = True, profile: str = "paper", seed: int = 0
) -> Run:
    """Two slides of train, one of val, one of test; patches of 64 um at 2 um/px.

    Args:
        folder: is made.
        seed: of the weights and of the training slides' heatmaps.
    """
    folder.mkdir(parents=True)
    recipe = {
        "name": "random",
        "description": "both stages, random weights",
        "preprocessing": {"profile": profile, "patch": {"size_px": PATCH_PX, "mpp": 2.0}},
        "patch": {"weights": "none"},
    }
    if refines:
        recipe["refinement"] = {"input_px": INPUT_PX, "options": {"filters": FILTERS}}
    table = write_table(folder / "table.csv", cohort)
    run = start_run(folder / "run", read_cohort(table), validate_recipe(recipe, source="random"))
    write_networks(run, seed=seed)
    return run


def prepare(run: Run) -> Run:
    """Patch index, and heatmaps of the training slides where there are two stages."""
    prepare_run(run, jobs=1)
    rng = np.random.default_rng(0)
    for place, slide in enumerate(run.cohort.split("train")):
        if run.recipe.refinement is not None:
            values = rng.dirichlet((1, 1), (32 + place, 33)).astype(np.float32)
            heatmap = Heatmap(values, step_level0=64, frame=Frame((2048, 2048), 1.0))
            write_heatmap(run.heatmap_file(slide.name), heatmap)
    return run


def write_table(path: Path, cohort: Path) -> Path:
    slides = read_cohort(cohort)
    kept = [*slides.split("train")[:2], *slides.split("val")[:1], *slides.split("test")[:1]]
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["slide", "annotation", "split", "grade", "patient"])
        for slide in kept:
            files = (slide.slide.resolve(), slide.annotation.resolve())
            rows.writerow([*files, slide.split, slide.grade, slide.patient or ""])
    return path


def write_networks(run: Run, *, seed: int) -> None:
    keras.utils.set_random_seed(seed)
    networks = {"patch": small_classifier()}
    if run.recipe.refinement is not None:
        networks["refinement"] = build_refinement_model(
            "unet", input_px=INPUT_PX, options={"filters": FILTERS}
        )
    for stage, network in networks.items():
        run.stage_folder(stage).mkdir(exist_ok=True)
        network.save(run.model_file(stage))


def small_classifier() -> keras.Model:
    """In place of MobileNetV2, whose 150 layers take seconds to convert."""
    layers = keras.layers
    patch = keras.Input((PATCH_PX, PATCH_PX, 3), name="patch")
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(patch)
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2)(x))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(2, activation="softmax", name="output_0_probabilities")(x)
    return keras.Model(patch, x, name="small")
