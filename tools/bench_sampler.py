"""Measures how fast the sampler delivers patches, and compares it with bare OpenSlide reads.

Four ways read the same draws in the same order, with the same number of reading threads and the
same size of OpenSlide's cache:

  bare            threads that call read_region and convert to RGB, nothing else
  uint8           the training pipeline up to pixels and labels, not augmented
  augmented       the whole training pipeline: float32, augmented, one-hot
  from_generator  a tf.data.Dataset.from_generator over single patches

Each repeat runs all of them one after the other on its own batches, in changing order, so that a
slower or busier machine affects all. A pipeline is first filled, and then timed while it stays
full. The table shows medians over the repeats. "of bare" is the median of the ratios within a
repeat, with the smallest and the largest. The target is 0.9 of bare for uint8.

A run folder (of 'h2g prepare' or 'h2g train') provides its training slides. Without one, slides are
generated first, which takes a minute or two.

  python tools/bench_sampler.py
  python tools/bench_sampler.py demo/run --workers 4 --json
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import openslide
import tensorflow as tf

from h2g.data.dataset import PREFETCHED, patch_dataset, raw_patch_dataset
from h2g.data.patch_source import BatchSettings, PatchSource, labelled_slides
from h2g.data.sampler import SlidePatches
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, open_run, start_run
from h2g.hardware import usable_cores
from h2g.phantom import generate_cohort
from h2g.recipes.patch import PatchAugmentation
from h2g.recipes.reading import load_recipe
from h2g.recipes.sections import patch_settings
from h2g.slides.pool import CACHE_BYTES
from h2g.slides.reading import SlidePool
from h2g.stages.prepare.prepare_run import prepare_run


@dataclass(frozen=True)
class Work:
    """The batches that every way reads: ``filling`` from the first on, then ``timed``."""

    slides: list[SlidePatches]
    order: tuple[str, ...]
    augmentation: PatchAugmentation
    settings: BatchSettings
    filling: int
    timed: int

    def source(self) -> PatchSource:
        return PatchSource(self.slides, self.settings, self.order)

    def patches(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """(slide, patch) pairs of ``count`` batches, starting with batch ``first``."""
        source, start = self.source(), self.settings.first_batch + first
        for number in range(start, start + count):
            yield from ((item.slide, item.patch) for item in source.draws(number))


@dataclass(frozen=True)
class Speed:
    patches_per_s: float
    cpu_ms_per_patch: float


@dataclass(frozen=True)
class Row:
    """Medians over the repeats."""

    pipeline: str
    patches_per_s: float
    of_bare: float
    of_bare_range: tuple[float, float]
    cpu_ms_per_patch: float


class Clock:
    """Wall and CPU time of the process, per patch."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def speed(self, patches: int) -> Speed:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Speed(patches / wall, 1000 * cpu / patches)


def bare(work: Work) -> Speed:
    """Reads patches on threads, each with its own handle of every slide."""
    thread_data, take = threading.local(), threading.Lock()
    cache = openslide.OpenSlideCache(CACHE_BYTES)

    def handle(number: int) -> openslide.OpenSlide:
        handles = thread_data.__dict__.setdefault("handles", {})
        if number not in handles:
            handles[number] = openslide.OpenSlide(work.slides[number].path)
            handles[number].set_cache(cache)
        return handles[number]

    def read(patches: Iterator[tuple[int, int]]) -> None:
        while True:
            with take:
                number, patch = next(patches, (None, None))
            if number is None:
                return
            slide = work.slides[number]
            x, y = slide.xy_level0[patch]
            size = (slide.plan.read_px, slide.plan.read_px)
            region = handle(number).read_region((int(x), int(y)), slide.plan.level, size)
            np.asarray(region.convert("RGB"))

    with ThreadPoolExecutor(work.settings.workers) as threads:

        def read_all(first: int, count: int) -> Speed:
            patches = list(work.patches(first, count))
            clock, shared = Clock(), iter(patches)
            for future in [threads.submit(read, shared) for _ in range(work.settings.workers)]:
                future.result()
            return clock.speed(len(patches))

        read_all(0, work.filling)
        return read_all(work.filling, work.timed)


def uint8(work: Work) -> Speed:
    source = work.source()
    with source.raising_failure():
        return iterate(raw_patch_dataset(source), work)


def augmented(work: Work) -> Speed:
    source = work.source()
    with source.raising_failure():
        return iterate(patch_dataset(source, work.augmentation), work)


def from_generator(work: Work) -> Speed:
    pool = SlidePool(max_open=work.settings.max_open)

    def generate() -> Iterator[tuple[np.ndarray, int]]:
        for number, patch in work.patches(0, work.filling + work.timed):
            slide = work.slides[number]
            x, y = slide.xy_level0[patch]
            with pool.lease(slide.path, slide.mpp) as reader:
                pixels = slide.plan.read(reader, (int(x), int(y)))
            yield pixels, slide.labels[patch]

    size = work.slides[0].plan.size_px
    signature = (tf.TensorSpec((size, size, 3), tf.uint8), tf.TensorSpec((), tf.int32))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    speed = iterate(dataset.batch(work.settings.batch_size).prefetch(PREFETCHED), work)
    pool.close()
    return speed


def iterate(dataset: tf.data.Dataset, work: Work) -> Speed:
    """The speed while the pipeline is full of unfinished batches and empty of finished ones."""
    batches = iter(dataset)
    for _ in range(work.filling):
        next(batches)
    clock = Clock()
    for _ in range(work.timed):
        next(batches)
    return clock.speed(work.timed * work.settings.batch_size)


WAYS: dict[str, Callable[[Work], Speed]] = {
    "bare": bare,
    "uint8": uint8,
    "augmented": augmented,
    "from_generator": from_generator,
}


def measure(work: Work, repeats: int) -> list[Row]:
    """Measures every way; one row per way."""
    speeds: dict[str, list[Speed]] = {name: [] for name in WAYS}
    names = list(WAYS)
    for repeat in range(repeats + 1):
        first = repeat * (work.filling + work.timed)
        part = replace(work, settings=replace(work.settings, first_batch=first))
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            speed = WAYS[name](part)
            if repeat:  # the first repeat compiles and warms the disk's cache
                speeds[name].append(speed)
    return [row(name, speeds[name], speeds["bare"]) for name in WAYS]


def row(name: str, speeds: list[Speed], bare_speeds: list[Speed]) -> Row:
    ratios = [
        one.patches_per_s / other.patches_per_s
        for one, other in zip(speeds, bare_speeds, strict=True)
    ]
    return Row(
        pipeline=name,
        patches_per_s=round(statistics.median(speed.patches_per_s for speed in speeds), 1),
        of_bare=round(statistics.median(ratios), 3),
        of_bare_range=(round(min(ratios), 3), round(max(ratios), 3)),
        cpu_ms_per_patch=round(statistics.median(speed.cpu_ms_per_patch for speed in speeds), 3),
    )


def generated_run(folder: Path) -> Run:
    """A run with patches like the paper's, 256 px at 1.0 um/px, of generated slides."""
    jobs = usable_cores()
    table = generate_cohort(folder / "cohort", slides=6, jobs=jobs)
    run = start_run(folder / "run", read_cohort(table), load_recipe("mob-pw"))
    prepare_run(run, jobs=jobs)
    return run


def work_of(run: Run, arguments: argparse.Namespace) -> Work:
    settings = BatchSettings(
        batch_size=arguments.batch_size,
        class_count=len(run.recipe.class_names),
        seed=run.recipe.seed,
        workers=arguments.workers,
    )
    # Workers that start together finish together, so both counts are whole rounds of workers.
    least = settings.workers + 2 * PREFETCHED
    return Work(
        slides=labelled_slides(run, "train"),
        order=run.recipe.sampler.order,
        augmentation=patch_settings(run.recipe).augmentation,
        settings=settings,
        filling=whole_rounds(least, settings.workers),
        timed=whole_rounds(arguments.batches, settings.workers),
    )


def whole_rounds(batches: int, workers: int) -> int:
    return -(-batches // workers) * workers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder; default: generated slides")
    parser.add_argument("--batch-size", type=int, default=64, help="patches per batch")
    parser.add_argument(
        "--batches", type=int, default=16, help="smallest number of timed batches per repeat"
    )
    parser.add_argument("--workers", type=int, default=2, help="reading threads")
    parser.add_argument("--repeats", type=int, default=5, help="number of repeats")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = open_run(arguments.run) if arguments.run else generated_run(Path(folder))
        rows = measure(work_of(run, arguments), arguments.repeats)
    if arguments.json:
        names = ("batch_size", "batches", "workers", "repeats")
        options = {name: getattr(arguments, name) for name in names}
        print(json.dumps({**options, "rows": [asdict(line) for line in rows]}, indent=2))
        return
    print(f"{'':16}{'patches/s':>10}{'of bare':>9}{'range':>18}{'CPU ms/patch':>14}")
    for line in rows:
        low, high = line.of_bare_range
        print(
            f"{line.pipeline:16}{line.patches_per_s:>10}{line.of_bare:>9}"
            f"{f'{low} to {high}':>18}{line.cpu_ms_per_patch:>14}"
        )


if __name__ == "__main__":
    main()
