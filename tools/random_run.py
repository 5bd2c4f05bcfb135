"""Writes a run folder of full-size networks with random weights, to measure speed without training.

    h2g phantom big --slides 1 --size-mm 25 --mpp 1 --seed 3
    python tools/random_run.py big/cohort.csv --out run

A classifier with random weights gives almost the same answer everywhere, so adaptive prediction
would classify hardly more than its first pass. The last layer is therefore replaced: it answers
along the direction in which the features of the first slide's patches differ most. Prints the share
of that slide's patches that adaptive prediction classifies at each threshold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import keras
import numpy as np

from h2g.errors import H2GError
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, start_run
from h2g.hardware import usable_cores
from h2g.recipes.preprocessing import AdaptiveSettings
from h2g.recipes.reading import load_recipe
from h2g.recipes.recipe import Recipe
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.slides.tissue_patches import locate_patches
from h2g.stages.patch.classify import classify_slide, thinned
from h2g.stages.patch.patch_stage import PATCH
from h2g.stages.patch.train_patch import patch_network
from h2g.stages.refinement.train_refinement import refinement_network
from h2g.stages.run_network import open_run_network

# Patches that the direction is found on, and the standard deviation of the logits on them.
SAMPLE, LOGIT_SD = 64, 2.0
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def write_networks(run: Run, patches: np.ndarray) -> None:
    """Saves the networks of a run's recipe.

    Args:
        patches: (n, S, S, 3) uint8, which the classifier shall tell apart.
    """
    keras.utils.set_random_seed(run.recipe.seed)
    classifier = patch_network(run.recipe)
    tell_apart(classifier, patches.astype(np.float32) / 255)
    networks = {"patch": classifier}
    if run.recipe.refinement is not None:
        networks["refinement"] = refinement_network(run.recipe)
    for stage, network in networks.items():
        run.stage_folder(stage).mkdir(exist_ok=True)
        network.save(run.model_file(stage))


def tell_apart(classifier: keras.Model, patches: np.ndarray) -> None:
    """Sets the last layer so that the second class follows the first principal component."""
    last = classifier.layers[-1]
    features = keras.Model(classifier.input, last.input).predict(patches, verbose=0)
    centred = features - features.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    direction = directions[0] * LOGIT_SD * np.sqrt(len(patches)) / spread[0]
    kernel, bias = (np.zeros_like(values) for values in last.get_weights())
    kernel[:, 1] = direction
    bias[1] = -features.mean(axis=0) @ direction
    last.set_weights([kernel, bias])


def read_sample(path: Path, mpp: float | None, recipe: Recipe) -> np.ndarray:
    """(n, S, S, 3) uint8, patches from all over the tissue."""
    with open_slide(path, mpp=mpp) as slide:
        located = locate_patches(slide, recipe.preprocessing)
        step = max(1, len(located.cells) // SAMPLE)
        return np.stack([located.plan.read_cell(slide, cell) for cell in located.cells[::step]])


def print_shares(run: Run) -> None:
    first = run.cohort.slides[0]
    settings = run.recipe.preprocessing
    network = open_run_network(run, PATCH)
    made = classify_slide(first.slide, first.mpp, network, settings, threads=usable_cores())
    with open_slide(first.slide, mpp=first.mpp) as slide:
        plan = locate_patches(slide, settings, tissue=made.tissue).plan
        plane = read_low_resolution(slide, settings.low_resolution)
    print(f"{first.name}: {made.patches:,} patches")
    for threshold in THRESHOLDS:
        adaptive = AdaptiveSettings(threshold=threshold)
        print(f"{adaptive}: {thinned(made.heatmap, plan, adaptive, plane)[1]:.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path, metavar="COHORT.csv")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN")
    parser.add_argument("--recipe", default="mob-pw-unet", help="name or YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    arguments = parser.parse_args()
    recipe = load_recipe(
        arguments.recipe,
        (*arguments.overrides, "patch.weights=none", "preprocessing.profile=fast"),
    )
    cohort = read_cohort(arguments.cohort)
    run = start_run(arguments.out, cohort, recipe)
    write_networks(run, read_sample(cohort.slides[0].slide, cohort.slides[0].mpp, recipe))
    print_shares(run)


if __name__ == "__main__":
    try:
        main()
    except H2GError as error:
        sys.exit(f"random_run: {error}")
