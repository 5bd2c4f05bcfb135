"""Measures the benefit of tensorflow-io's Lab conversion in the augmentation graph.

Shifts patches in CIE Lab inside tf.data in the two ways of h2g.data.augmentation: in the graph with
tensorflow-io, and with OpenCV through tf.numpy_function. The two alternate for several repeats. The
paper's shifts of hue and saturation are timed for comparison. Needs the extra io.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import tensorflow as tf

from h2g.data.augmentation import shift_colours, shift_lab, shift_lab_in_graph

SIZE_PX = 256
LARGEST_SHIFT = 10.0


def random_shift(images: tf.Tensor) -> tf.Tensor:
    return tf.random.uniform((len(images), 3), -LARGEST_SHIFT, LARGEST_SHIFT)


def with_tensorflow_io(images: tf.Tensor) -> tf.Tensor:
    return shift_lab_in_graph(images, random_shift(images))


def with_opencv(images: tf.Tensor) -> tf.Tensor:
    return shift_lab(images, random_shift(images))


def hue_and_saturation(images: tf.Tensor) -> tf.Tensor:
    shift = tf.random.uniform((len(images),), -0.05, 0.05)
    pixels = tf.cast(images * 255, tf.uint8)
    return shift_colours(pixels, hue=shift, saturation=shift, brightness=shift + 1)


def patches_per_second(
    function: Callable[[tf.Tensor], tf.Tensor], batch: tf.Tensor, batches: int
) -> float:
    data = tf.data.Dataset.from_tensors(batch).repeat().map(function, num_parallel_calls=2)
    iterator = iter(data.prefetch(2))
    for _ in range(4):  # compiles
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return batches * len(batch) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=32, help="patches per batch")
    parser.add_argument("--batches", type=int, default=20, help="timed batches per repeat")
    parser.add_argument("--repeats", type=int, default=5, help="number of repeats")
    arguments = parser.parse_args()
    batch = tf.random.stateless_uniform((arguments.batch_size, SIZE_PX, SIZE_PX, 3), (1, 2))
    ways = {
        "Lab, tensorflow-io in the graph": with_tensorflow_io,
        "Lab, OpenCV through numpy_function": with_opencv,
        "hue and saturation": hue_and_saturation,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, function in ways.items():
            rates[name].append(patches_per_second(function, batch, arguments.batches))
    opencv = statistics.median(rates["Lab, OpenCV through numpy_function"])
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"{name:38}{median:8.0f} patches/s   {median / opencv:5.2f} of OpenCV's")


if __name__ == "__main__":
    main()
