"""Measures a recipe's training step on this machine, as it is and compiled by XLA.

    python tools/bench_training.py demo --stage refinement
    python tools/bench_training.py mob-pw-unet --set patch.weights=none --steps 3

Each way runs in its own process, one after the other. The batches are random numbers, so only the
network, its loss and its optimizer are timed. "first" is the first step, with tracing and
compiling. "peak" is the peak memory of the process. Compiling is worth it if the faster steps make
up for the first one.
"""

import argparse
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from h2g.errors import H2GError
from h2g.hardware import peak_memory_mib
from h2g.recipes.reading import load_recipe
from h2g.recipes.recipe import Recipe
from h2g.stages.chain import network_names

WAYS = {"as it is": "false", "compiled": "true"}


@dataclass(frozen=True)
class Cost:
    """Seconds of the first step and of each later one, and the process's peak memory."""

    first_s: float
    steps_s: tuple[float, ...]
    peak_gib: float

    @property
    def step_s(self) -> float:
        return statistics.median(self.steps_s)

    def __str__(self) -> str:
        spread = f"{min(self.steps_s):.3f} to {max(self.steps_s):.3f}"
        return (
            f"step {self.step_s:.3f} s ({spread}), first {self.first_s:.1f} s, "
            f"peak {self.peak_gib:.2f} GiB"
        )


def measure(recipe: Recipe, stage: str, steps: int) -> Cost:
    from h2g.models.startup import start_keras

    start_keras()
    network, batch = make_patch(recipe) if stage == "patch" else make_refinement(recipe)
    seconds = []
    for _ in range(1 + steps):
        start = time.perf_counter()
        network.train_on_batch(*batch)
        seconds.append(time.perf_counter() - start)
    return Cost(seconds[0], tuple(seconds[1:]), peak_memory_mib() / 1024)


def make_patch(recipe: Recipe):
    """The compiled classifier, and one batch: patches and one-hot labels."""
    import keras

    from h2g.stages.patch.train_patch import patch_network
    from h2g.training.fit import compile_network

    network, settings = patch_network(recipe), recipe.patch
    compile_network(network, settings, steps=1000, loss=keras.losses.CategoricalCrossentropy())
    size, classes = recipe.preprocessing.patch.size_px, len(recipe.class_names)
    patches = random_values(settings.batch_size, size, size, 3)
    return network, (patches, one_hot(classes, settings.batch_size))


def make_refinement(recipe: Recipe):
    """The compiled refinement network, and one batch: its inputs and one-hot truths."""
    from h2g.stages.refinement.train_refinement import refinement_network
    from h2g.training.fit import compile_network
    from h2g.training.losses import refinement_loss

    network, settings = refinement_network(recipe), recipe.refinement
    loss = refinement_loss(settings.loss, recipe.class_names, settings.class_weights)
    compile_network(network, settings, steps=1000, loss=loss)
    side, classes = settings.input_px, len(recipe.class_names)
    truth = one_hot(classes, settings.batch_size, side, side)
    pictures = [random_values(settings.batch_size, *each.shape[1:]) for each in network.inputs]
    return network, (pictures, truth)


def random_values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


def one_hot(classes: int, *shape: int) -> np.ndarray:
    labels = np.random.default_rng(1).integers(0, classes, shape)
    return np.eye(classes, dtype=np.float32)[labels]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="name or YAML file of the recipe")
    parser.add_argument("--stage", choices=["patch", "refinement"], help="default: both")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--steps", type=int, default=10, help="timed steps after the first")
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS])
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    for stage in [arguments.stage] if arguments.stage else network_names(recipe):
        costs: dict[str, Cost] = {}
        for way in arguments.ways:
            overrides = (*arguments.overrides, f"{stage}.jit_compile={WAYS[way]}")
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                changed = load_recipe(arguments.recipe, overrides)
                costs[way] = pool.submit(measure, changed, stage, arguments.steps).result()
            print(f"{stage:10} {way:9} {costs[way]}", flush=True)
        if len(costs) == len(WAYS):
            plain, compiled = costs.values()
            print(
                f"{stage:10} compiled steps are {plain.step_s / compiled.step_s:.2f} times faster"
            )


if __name__ == "__main__":
    try:
        main()
    except H2GError as error:
        print(f"bench_training: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
