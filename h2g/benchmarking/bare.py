"""What a slide must cost: each part of predicting it, bare, in CPU seconds.

python -m h2g.benchmarking.bare SETTINGS RESULT runs it in a process of its own.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from h2g.benchmarking.plan import load_choice
from h2g.benchmarking.rows import RowSettings
from h2g.errors import SlideError, WrongUseError
from h2g.files import write_text
from h2g.inference.engine import Engine
from h2g.inference.folder import open_folder
from h2g.inference.outputs import Seconds, Segmented, write_outputs
from h2g.inference.patchwise import Located, locate_patches, read_cell
from h2g.inference.refinement import labels_at, patchwise_labels, refine_plane
from h2g.recipes.base import Frozen
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Slide, open_slide, read_low_resolution

# Decoded together, then classified together: neither warms the caches for the other's clock.
CHUNK_PATCHES = 512
NO_SECONDS = Seconds(0, 0, 0, 0, 0, 0, 0, 0)


class BareCost(Frozen):
    """CPU seconds of all threads of a part alone, after its engine is warm.

    Attributes:
        tissue_s: finding tissue and its patches, and reading the low-resolution picture.
        decode_s: reading the patches one by one on one thread.
        patch_s: their network, in batches.
        refinement_s: the second network and its labels; the labels of the heatmap without one.
        writing_s: all files.
        decode_patches_per_s: by wall time, one thread.
        inference_patches_per_s: by wall time, all cores.
    """

    patches: int
    tissue_s: float
    decode_s: float
    patch_s: float
    refinement_s: float
    writing_s: float
    decode_patches_per_s: float
    inference_patches_per_s: float

    @property
    def cpu_s(self) -> float:
        return self.tissue_s + self.decode_s + self.patch_s + self.refinement_s + self.writing_s


class Clock:
    """Sums up CPU seconds of the whole process, all threads, and wall seconds."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def __enter__(self) -> Clock:
        self._start = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu += time.process_time() - self._start[0]
        self.wall += time.perf_counter() - self._start[1]


def main(settings_file: Path, result_file: Path) -> None:
    settings = RowSettings.model_validate_json(settings_file.read_text("utf-8"))
    write_text(result_file, measure_bare(settings).model_dump_json(indent=2) + "\n")


def measure_bare(settings: RowSettings) -> BareCost:
    """Times the parts one after the other, each on everything it does for the slide.

    Raises:
        H2GError: the model cannot run here, or the slide cannot be read.
    """
    model = load_choice(settings.choice)
    if not model.has_patch:
        raise WrongUseError(f"{model.path}: this model classifies no patches to be counted.")
    engine = model.open_engine(settings.batch_size)
    tissue, refinement, writing = Clock(), Clock(), Clock()
    with open_slide(settings.slide, mpp=settings.mpp) as slide:
        with tissue:
            located = locate_patches(slide, model.preprocessing)
            if reason := located.why_none(model.preprocessing):
                raise SlideError(f"{settings.slide.name}: {reason}")
            plane = read_low_resolution(slide, model.preprocessing.low_resolution)
        heatmap, decode, patch = _classify(
            slide, located, engine, len(model.class_names), settings.batch_size
        )
    size_px = (plane.rgb.shape[1], plane.rgb.shape[0])
    if engine.has_refinement:
        refine_plane(plane, heatmap, engine)  # the first call loads the network
        with refinement:
            labels = labels_at(refine_plane(plane, heatmap, engine), size_px)
    else:
        with refinement:
            labels = patchwise_labels(heatmap, size_px)
    with tempfile.TemporaryDirectory() as out:
        files = open_folder(Path(out), model).files("slide")
        with writing:
            segmented = Segmented(located, plane, heatmap, labels, NO_SECONDS)
            write_outputs(segmented, files, model.class_names)
    count = len(located.cells)
    return BareCost(
        patches=count,
        tissue_s=tissue.cpu,
        decode_s=decode.cpu,
        patch_s=patch.cpu,
        refinement_s=refinement.cpu,
        writing_s=writing.cpu,
        decode_patches_per_s=count / decode.wall,
        inference_patches_per_s=count / patch.wall,
    )


def _classify(
    slide: Slide, located: Located, engine: Engine, class_count: int, batch_size: int
) -> tuple[Heatmap, Clock, Clock]:
    """The heatmap, and the clocks of decoding and of inference."""
    decode, inference = Clock(), Clock()
    grid, info = located.grid, located.info
    side = grid.plan.size_px
    for _ in range(2):
        engine.classify(np.zeros((batch_size, side, side, 3), np.uint8))
    values = np.zeros((grid.rows, grid.cols, class_count), np.float32)
    for cells in _chunks(located.cells, CHUNK_PATCHES):
        with decode:
            patches = np.stack([read_cell(slide, grid, cell) for cell in cells])
        batches = zip(_chunks(cells, batch_size), _chunks(patches, batch_size), strict=True)
        with inference:
            found = list(engine.classify_each(batches))
        for at, probabilities in found:
            values[at[:, 0], at[:, 1]] = probabilities
    heatmap = Heatmap(values, grid.plan.step_level0, info.known_mpp, info.field_level0)
    return heatmap, decode, inference


def _chunks(array: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (array[start : start + size] for start in range(0, len(array), size))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
