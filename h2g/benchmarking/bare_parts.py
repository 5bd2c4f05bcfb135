"""The lower bound of a prediction: each part timed alone, in CPU seconds.

Run in its own process: python -m h2g.benchmarking.bare_parts SETTINGS RESULT.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from h2g.benchmarking.choose_rows import load_choice
from h2g.benchmarking.row import RowSettings
from h2g.engines.engine import PATCH_INPUT, Network
from h2g.errors import SlideError, WrongUseError
from h2g.files import write_text
from h2g.recipes.base import Frozen
from h2g.results.outputs import SlideFiles, write_outputs
from h2g.results.slide_state import Seconds, Segmented, SlideState
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Slide, open_slide, read_low_resolution
from h2g.slides.tissue_patches import Located, locate_patches
from h2g.stages.chain import NETWORKS
from h2g.stages.patch.classify import HeatmapCells, thinned

# Patches decoded together and then classified together, so that neither clock profits from the
# caches of the other.
CHUNK_PATCHES = 512


class BareCost(Frozen):
    """CPU seconds of each part alone, summed over threads, with its engine warm.

    Attributes:
        patches: number of patches that are classified.
        tissue_s: finding the tissue and its patches, and reading the low-resolution image.
        decode_s: reading these patches one by one on one thread.
        patch_s: classifying them in batches.
        refinement_s: running the networks of whole slides, and drawing the labels.
        writing_s: writing all files.
        decode_patches_per_s: wall time, one thread.
        inference_patches_per_s: wall time, all cores.
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
    """Sums CPU seconds of the whole process (all threads) and wall seconds."""

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
    """Times the parts one after the other, each on the whole slide.

    Raises:
        H2GError: the model cannot run here, or the slide cannot be read.
    """
    model = load_choice(settings.choice)
    networks = model.open_networks(settings.batch_size)
    patch = next((name for name in networks if NETWORKS[name].many), None)
    if patch is None:
        raise WrongUseError(
            f"{model.path}: this model has no patch network, so there are no patches to count."
        )
    tissue, refinement, writing = Clock(), Clock(), Clock()
    with open_slide(settings.slide, mpp=settings.mpp) as slide:
        with tissue:
            located = locate_patches(slide, model.preprocessing)
            if reason := located.why_none(model.preprocessing):
                raise SlideError(f"{settings.slide.name}: {reason}")
            plane = read_low_resolution(slide, model.preprocessing.low_resolution)
        heatmap, decode, inference = _classify(
            slide, located, networks.pop(patch), settings.batch_size
        )
    state = SlideState(plane, model.class_names, located, heatmap=heatmap)
    _apply(state, networks)  # the first call builds the networks' graphs
    with refinement:
        labels = _apply(state, networks).labels((plane.rgb.shape[1], plane.rgb.shape[0]))
    with tempfile.TemporaryDirectory() as out, writing:
        segmented = Segmented(located, plane, model.class_names, heatmap, labels, Seconds())
        write_outputs(segmented, SlideFiles(Path(out), "slide"))
    count, share = len(located.cells), 1.0
    if model.adaptive is not None:
        # All were classified, and each costs the same.
        share = thinned(heatmap, located.plan, model.adaptive, plane)[1] / 100
    return BareCost(
        patches=round(share * count),
        tissue_s=tissue.cpu,
        decode_s=share * decode.cpu,
        patch_s=share * inference.cpu,
        refinement_s=refinement.cpu,
        writing_s=writing.cpu,
        decode_patches_per_s=count / decode.wall,
        inference_patches_per_s=count / inference.wall,
    )


def _apply(state: SlideState, networks: dict[str, Network]) -> SlideState:
    for name, network in networks.items():
        state = NETWORKS[name].apply(state, network)
    return state


def _classify(
    slide: Slide, located: Located, network: Network, batch_size: int
) -> tuple[Heatmap, Clock, Clock]:
    """The heatmap, and the clocks of decoding and inference."""
    decode, inference = Clock(), Clock()
    plan, info = located.plan, located.info
    side = plan.size_px
    for _ in range(2):
        network.run({PATCH_INPUT: np.zeros((batch_size, side, side, 3), np.uint8)})
    filled = HeatmapCells(plan)
    for cells in _chunks(located.cells, CHUNK_PATCHES):
        with decode:
            patches = np.stack([plan.read_cell(slide, cell) for cell in cells])
        feeds = ({PATCH_INPUT: batch} for batch in _chunks(patches, batch_size))
        batches = zip(_chunks(cells, batch_size), feeds, strict=True)
        with inference:
            results = list(network.run_each(batches))
        for at, probabilities in results:
            filled.put(at, probabilities)
    return filled.heatmap(info), decode, inference


def _chunks(array: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (array[start : start + size] for start in range(0, len(array), size))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
