"""What an export is tried on: patches and low-resolution slides of the run, or noise."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from h2g.bundle import Card
from h2g.cohort import CohortSlide, Split
from h2g.data.patch_source import BatchSettings, PatchSource, labelled_slides
from h2g.errors import RunError, SlideError, TrainingError
from h2g.inference.keras_engine import open_keras_engine
from h2g.inference.patchwise import classify_slide
from h2g.recipes.refinement import RefinementInputs
from h2g.runs import Run
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.slides.writing import read_heatmap

# A refinement network's image and heatmap, raw; no heatmap without a patch stage.
Field = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Samples:
    """Inputs of both networks as prediction hands them in.

    Attributes:
        patches: (N, S, S, 3) uint8 RGB; N is 0 without a patch network.
        fields: of each slide the whole field, (H, W, 3) uint8 RGB, and its heatmap without
            background, (h, w, C - 1) float32, if any; none without a refinement network.
        refinement_inputs: what that network takes of them.
    """

    patches: np.ndarray
    fields: tuple[Field, ...]
    pixels: Literal["slides", "noise"]
    refinement_inputs: RefinementInputs = "both"


def run_samples(run: Run, *, split: Split = "train", patches: int = 64, fields: int = 2) -> Samples:
    """Patches that the training's sampling tree draws, and fields of slides, the same every time.

    Args:
        patches, fields: how many; fewer fields where the split has fewer slides.
    Raises:
        RunError: the run is not prepared, or its slides are not there or cannot be read.
    """
    with _naming_no_check(run):
        slides = _present(run, split)
        drawn = _draw_patches(run, slides, split, patches)
        if run.recipe.refinement is None:
            return Samples(drawn, (), "slides")
        # Those that have a heatmap first: a slide takes minutes to classify.
        slides.sort(key=lambda slide: not run.heatmap_file(slide.name).is_file())
        found = tuple(_field(run, slide) for slide in slides[:fields])
        return Samples(drawn, found, "slides", run.recipe.refinement.inputs)


def run_patches(run: Run, *, count: int) -> np.ndarray:
    """(count, S, S, 3) uint8 RGB: patches of the training slides alone, as in run_samples.

    Raises:
        RunError: the run is not prepared, or its slides are not there or cannot be read.
    """
    with _naming_no_check(run):
        return _draw_patches(run, _present(run, "train"), "train", count)


def noise_patches(size_px: int, *, count: int) -> np.ndarray:
    """(count, size_px, size_px, 3) uint8 RGB: blotches of random colour under fine noise."""
    rng = np.random.default_rng(0)
    drawn = np.empty((count, size_px, size_px, 3), np.uint8)
    for patch in drawn:
        patch[:] = _noise(rng, size_px, size_px)
    return drawn


def noise_samples(card: Card, *, patches: int = 64) -> Samples:
    """Blotches of random colour under fine noise, in the shapes that the networks take."""
    side, size_px = card.preprocessing.patch.size_px, card.refinement_px
    drawn = noise_patches(side, count=patches if "patch" in card.networks else 0)
    if "refinement" not in card.networks or size_px is None:
        return Samples(drawn, (), "noise")
    rng = np.random.default_rng(1)
    classes = len(card.class_names)
    sizes = ((size_px, size_px * 5 // 4), (size_px * 4 // 3, size_px * 3 // 4))
    fields = tuple(
        (
            _noise(rng, height, width),
            rng.dirichlet(np.ones(classes), (max(1, height // 16), max(1, width // 16)))[..., 1:]
            .astype(np.float32),
        )
        for height, width in sizes
    )  # fmt: skip
    return Samples(drawn, fields, "noise", card.refinement_inputs)


def _present(run: Run, split: Split) -> list[CohortSlide]:
    slides = [slide for slide in run.cohort.split(split) if slide.slide.exists()]
    if not slides:
        raise SlideError(f"no slide of the {split} split is where cohort.csv says")
    return slides


def _draw_patches(run: Run, slides: Sequence[CohortSlide], split: Split, count: int) -> np.ndarray:
    if run.recipe.patch is None:
        side = run.recipe.preprocessing.patch.size_px
        return np.empty((0, side, side, 3), np.uint8)
    names = {slide.name for slide in slides}
    labelled = [slide for slide in labelled_slides(run, split) if slide.name in names]
    settings = BatchSettings(
        batch_size=count, class_count=len(run.recipe.class_names), seed=run.recipe.seed
    )
    with contextlib.closing(PatchSource(labelled, settings, run.recipe.sampler.order)) as source:
        return source.read(0)[0]


def _field(run: Run, row: CohortSlide) -> Field:
    with open_slide(row.slide, mpp=row.mpp) as slide:
        plane = read_low_resolution(slide, run.recipe.preprocessing.low_resolution)
    if run.recipe.patch is None:
        return plane.rgb, None
    heatmap = _heatmap(run, row)
    return plane.rgb, np.ascontiguousarray(heatmap.values[..., 1:], np.float32)


def _heatmap(run: Run, row: CohortSlide) -> Heatmap:
    recipe, file = run.recipe, run.heatmap_file(row.name)
    if file.is_file():
        return read_heatmap(file)
    return classify_slide(
        row.slide,
        row.mpp,
        open_keras_engine(run, stages=("patch",)),
        recipe.preprocessing,
        len(recipe.class_names),
        threads=os.cpu_count() or 1,
    ).heatmap


def _noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    blotches = rng.integers(0, 256, (8, 8, 3)).astype(np.float32)
    smooth = cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    fine = rng.normal(0, 20, (height, width, 3))
    return np.clip(smooth + fine, 0, 255).astype(np.uint8)


@contextlib.contextmanager
def _naming_no_check(run: Run) -> Iterator[None]:
    try:
        yield
    except (SlideError, TrainingError, RunError) as error:
        raise RunError(
            f"{run.path}: exports are checked, and int8 is calibrated, on the run's own slides, "
            f"and this is not possible: {str(error).rstrip('.')}. Put the slides back, or export "
            "floating point unchecked: --no-check."
        ) from error
