"""Patches of a run for comparing and calibrating exports."""

from __future__ import annotations

import contextlib

import numpy as np

from h2g.data.patch_source import BatchSettings, PatchSource, labelled_slides
from h2g.folders.cohort import Split
from h2g.folders.run import Run


def draw_patches(run: Run, split: Split, count: int) -> np.ndarray:
    """Patches that the training's sampling tree draws, (count, S, S, 3) uint8 RGB.

    Every call draws the same patches. Slides that do not exist at their path in cohort.csv are left
    out.

    Raises:
        RunError: the run is not prepared.
        SlideError, TrainingError: a slide cannot be read.
    """
    existing = {row.name for row in run.cohort.split(split) if row.slide.exists()}
    labelled = [slide for slide in labelled_slides(run, split) if slide.name in existing]
    settings = BatchSettings(
        batch_size=count, class_count=len(run.recipe.class_names), seed=run.recipe.seed
    )
    with contextlib.closing(PatchSource(labelled, settings, run.recipe.sampler.order)) as source:
        return source.read(0)[0]
