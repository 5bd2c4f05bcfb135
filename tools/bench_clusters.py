"""Measures the cost of a training step by the place where the clusters for the loss are computed.

    python tools/bench_clusters.py ablation/mob-km-pw

RUN has clusters and labelled slides. Its classifier is trained from its first weights for some
steps in four ways, one after the other, several times:

  none           without clusters
  pipeline       h2g's way: a thread of the data set calls the graph from Python, also on a GPU
  data set       the graph is an operation of the data set
  training step  the batch includes the raw patches, and the graph runs before the step

The output is the median over the repeats of the seconds per step, wall and CPU.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from h2g.data.augmentation import augment_patches
from h2g.data.dataset import PREFETCHED, patch_dataset, raw_patch_dataset
from h2g.data.patch_source import PatchSource, labelled_slides
from h2g.folders.run import Run, open_run
from h2g.models.deployment import load_network, scale_image
from h2g.recipes.sections import patch_settings
from h2g.stages.patch.cluster_weights import open_weigher
from h2g.stages.patch.train_patch import patch_network, patch_source
from h2g.training.fit import compile_network

WARM_UP = 3  # steps that trace the graph and use up the waiting batches


class WeighingModel(keras.Model):
    """Trains on ((augmented, raw pixels), labels), weighted by ``weights_of`` the raw pixels."""

    weights_of: Callable[[tf.Tensor], tf.Tensor]

    def train_step(self, data):
        (images, pixels), labels, *_ = data
        return super().train_step((images, labels, self.weights_of(pixels)))


def in_graph(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Function from (B, S, S, 3) uint8 to (B,) weights of the form cwce, in TensorFlow."""

    def weights(pixels: tf.Tensor) -> tf.Tensor:
        clusters = network(scale_image(pixels), training=False)
        _, place, counts = tf.unique_with_counts(clusters)
        share = tf.cast(tf.size(clusters), tf.float32) / tf.cast(tf.size(counts), tf.float32)
        return share / tf.cast(tf.gather(counts, place), tf.float32)

    return weights


def data_set(way: str, run: Run, source: PatchSource, graph: Path) -> tf.data.Dataset:
    settings = patch_settings(run.recipe)
    if way == "none":
        return patch_dataset(source, settings.augmentation)
    if way == "pipeline":
        weigh = open_weigher(graph, form="cwce")
        return patch_dataset(source, settings.augmentation, weigh=weigh)
    weights = in_graph(load_network(graph))

    def finish(pixels: tf.Tensor, labels: tf.Tensor, number: tf.Tensor):
        images = augment_patches(
            pixels, number, seed=source.settings.seed, settings=settings.augmentation
        )
        truth = tf.one_hot(labels, source.settings.class_count)
        if way == "data set":
            return images, truth, weights(pixels)
        return (images, pixels), truth

    batches = raw_patch_dataset(source)
    finished = batches.map(finish, num_parallel_calls=PREFETCHED, deterministic=True)
    return finished.prefetch(PREFETCHED)


def trained_network(way: str, run: Run, graph: Path) -> keras.Model:
    network = patch_network(run.recipe)
    if way == "training step":
        network = WeighingModel(network.input, network.output)
        network.weights_of = in_graph(load_network(graph))
    loss = keras.losses.CategoricalCrossentropy()
    compile_network(network, patch_settings(run.recipe), steps=1000, loss=loss)
    return network


def seconds_per_step(way: str, run: Run, graph: Path, steps: int) -> tuple[float, float]:
    """Wall and CPU seconds per step."""
    source = patch_source(run, labelled_slides(run, "train"))
    network = trained_network(way, run, graph)
    clock = []
    try:
        for number, batch in enumerate(data_set(way, run, source, graph).take(WARM_UP + steps)):
            if number == WARM_UP:
                clock = [time.perf_counter(), time.process_time()]
            network.train_on_batch(*batch)
    finally:
        source.close()
    wall, cpu = time.perf_counter() - clock[0], time.process_time() - clock[1]
    return wall / steps, cpu / steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=30, help="timed steps per repeat")
    parser.add_argument("--repeats", type=int, default=3, help="number of repeats")
    arguments = parser.parse_args()
    run = open_run(arguments.run)
    graph = run.stage_folder("clusters") / "model.keras"
    ways = ("none", "pipeline", "data set", "training step")
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(arguments.repeats):
        for way in ways:
            seconds[way].append(seconds_per_step(way, run, graph, arguments.steps))
    for way, pairs in seconds.items():
        wall, cpu = (statistics.median(values) for values in zip(*pairs, strict=True))
        print(f"{way:14} {wall:.3f} s per step, {cpu:.3f} s of CPU")


if __name__ == "__main__":
    main()
