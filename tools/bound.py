"""How near `h2g predict` comes to what its engine could do on this machine.

The bound is (CPU seconds of bare decoding + CPU seconds of bare inference of the same patches) /
cores: no command can be faster with that engine and that decoder. Bare decoding reads the patches
one by one on one thread; bare inference runs them in batches. Then the whole command runs, start
and writing included, in a process of its own. The ratio is bound / the command's seconds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from h2g.inference.engine import Engine
from h2g.inference.loading import LoadedModel, load_model
from h2g.inference.patchwise import Located, locate_patches, read_cell
from h2g.slides.reading import Slide, open_slide

# Decoded together, then classified together: neither warms the caches for the other's clock.
CHUNK_PATCHES = 512


@dataclass(frozen=True)
class Bound:
    cores: int
    patches: int
    decode_cpu_s: float
    decode_patches_per_s: float  # bare, one thread
    inference_cpu_s: float
    inference_patches_per_s: float  # bare, all cores
    bound_s: float
    command_s: float
    command_patches_per_s: float
    command_cpu_s: float  # against both above: what start, tissue, refinement and writing cost
    ratio: float
    command_peak_mib: float


@dataclass
class Clock:
    """CPU seconds of the whole process, all threads, and wall seconds."""

    cpu: float = 0.0
    wall: float = 0.0

    def __enter__(self) -> "Clock":
        self._start = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu += time.process_time() - self._start[0]
        self.wall += time.perf_counter() - self._start[1]


def bare(slide: Slide, located: Located, engine: Engine, batch_size: int) -> tuple[Clock, Clock]:
    """The clocks of decoding and of inference over all patches."""
    decode, inference = Clock(), Clock()
    side = located.grid.plan.size_px
    for _ in range(2):
        engine.classify(np.zeros((batch_size, side, side, 3), np.uint8))
    for cells in chunks(located.cells, CHUNK_PATCHES):
        with decode:
            patches = np.stack([read_cell(slide, located.grid, cell) for cell in cells])
        with inference:
            for batch in chunks(patches, batch_size):
                engine.classify(batch)
    return decode, inference


def chunks(array: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (array[start : start + size] for start in range(0, len(array), size))


def run_command(arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MiB of `h2g predict` on the slide."""
    h2g = Path(sys.executable).with_name("h2g")
    with tempfile.TemporaryDirectory() as out:
        command = [h2g, "predict", arguments.model, arguments.slide, "--out", out, "--quiet"]
        command += ["--batch-size", str(arguments.batch_size)]
        command += ["--workers", str(arguments.workers)] if arguments.workers else []
        command += ["--mpp", str(arguments.mpp)] if arguments.mpp else []
        start = time.perf_counter()
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak_mib = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return seconds, usage.ru_utime + usage.ru_stime, peak_mib


def measure(arguments: argparse.Namespace) -> Bound:
    model: LoadedModel = load_model(arguments.model)
    engine = model.open_engine(arguments.batch_size)
    with open_slide(arguments.slide, mpp=arguments.mpp) as slide:
        located = locate_patches(slide, model.preprocessing)
        decode, inference = bare(slide, located, engine, arguments.batch_size)
    count, cores = len(located.cells), len(os.sched_getaffinity(0))
    bound = (decode.cpu + inference.cpu) / cores
    seconds, cpu, peak_mib = run_command(arguments)
    return Bound(
        cores=cores,
        patches=count,
        decode_cpu_s=round(decode.cpu, 2),
        decode_patches_per_s=round(count / decode.wall, 1),
        inference_cpu_s=round(inference.cpu, 2),
        inference_patches_per_s=round(count / inference.wall, 1),
        bound_s=round(bound, 2),
        command_s=round(seconds, 2),
        command_patches_per_s=round(count / seconds, 1),
        command_cpu_s=round(cpu, 2),
        ratio=round(bound / seconds, 3),
        command_peak_mib=round(peak_mib, 1),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="run folder")
    parser.add_argument("slide", type=Path, help="with 5,000 patches of tissue or more")
    parser.add_argument("--mpp", type=float, help="um/px of level 0, in place of the slide's own")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, help="of the command; default: its own")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    result = asdict(measure(arguments))
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name:24}{value:>12}")


if __name__ == "__main__":
    main()
