"""Inputs of the refinement network for comparing and calibrating exports."""

from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, Feed
from h2g.folders.cohort import CohortSlide, Split
from h2g.folders.run import Run
from h2g.recipes.sections import refinement_settings
from h2g.results.slide_state import SlideState
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.slides.tiff_files import read_heatmap
from h2g.slides.windows import cut_image, window_corners
from h2g.stages.patch.classify import classify_slide
from h2g.stages.patch.patch_stage import PATCH
from h2g.stages.refinement.refine import refinement_feed, window_feed
from h2g.stages.run_network import open_run_network

INPUTS = {
    "both": (IMAGE_INPUT, HEATMAP_INPUT),
    "image": (IMAGE_INPUT,),
    "heatmap": (HEATMAP_INPUT,),
}


def slide_feeds(run: Run, split: Split, count: int) -> list[Feed]:
    """Inputs for ``count`` slides: (1, H, W, 3) uint8 RGB and (1, h, w, C - 1) float32.

    Of a slide that the network sees in windows, one window is taken.

    Raises:
        SlideError: a slide cannot be read.
    """
    slides = [row for row in run.cohort.split(split) if row.slide.exists()]
    # Slides with a heatmap come first, because a slide takes minutes to classify.
    slides.sort(key=lambda row: not run.heatmap_file(row.name).is_file())
    names = INPUTS[refinement_settings(run.recipe).inputs]
    return [_feed(_state(run, row), names) for row in slides[:count]]


def _feed(state: SlideState, names: Collection[str]) -> Feed:
    """The inputs for the whole slide, or for its window with the least glass."""
    image = state.plane.windows
    if image is None:
        return refinement_feed(state, names)
    colour, side = np.ptp(image.rgb, axis=2), image.settings.side_px
    corner = max(
        window_corners(image.size_px, image.settings),
        key=lambda corner: int(cut_image(colour, corner, side, fill=0).sum()),
    )
    return window_feed(state, image, corner, names)


def _state(run: Run, row: CohortSlide) -> SlideState:
    with open_slide(row.slide, mpp=row.mpp) as slide:
        plane = read_low_resolution(slide, run.recipe.low_resolution)
    state = SlideState(plane, run.recipe.class_names)
    return state.with_heatmap(_heatmap(run, row)) if PATCH.is_in(run.recipe) else state


def _heatmap(run: Run, row: CohortSlide) -> Heatmap:
    file = run.heatmap_file(row.name)
    if file.is_file():
        return read_heatmap(file)
    # Not stored, because nothing else may need the heatmaps of this split.
    return classify_slide(
        row.slide,
        row.mpp,
        open_run_network(run, PATCH),
        run.recipe.preprocessing,
        threads=os.cpu_count() or 1,
    ).heatmap
