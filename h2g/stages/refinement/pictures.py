"""The refinement network's training images and truths, written once per slide."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import keras
import numpy as np

from h2g.annotations.truth import true_labels
from h2g.errors import AnnotationError, SlideError
from h2g.folders.cohort import CohortSlide
from h2g.folders.run import Run
from h2g.models.deployment import resize_bilinear
from h2g.progress import track
from h2g.recipes.recipe import Recipe
from h2g.recipes.sections import refinement_settings
from h2g.slides.png_files import write_png
from h2g.slides.reading import open_slide, read_low_resolution, read_window_image

logger = logging.getLogger(__name__)


def image_file(run: Run, name: str) -> Path:
    """PNG of the low-resolution slide, uint8 RGB.

    It is (P, P, 3), resized as in deployment, or at the um/px of the windows.
    """
    return run.stage_folder("refinement") / "inputs" / f"{name}_image.png"


def truth_file(run: Run, name: str) -> Path:
    """PNG of the annotation's labels over the slide's field, uint8, in the size of the image."""
    return run.stage_folder("refinement") / "inputs" / f"{name}_truth.png"


def write_inputs(run: Run, slides: list[CohortSlide], *, jobs: int) -> list[CohortSlide]:
    """Writes the missing files of ``slides``.

    Args:
        jobs: number of threads; reading, resizing and drawing release the interpreter lock.
    Returns:
        The slides that have both files; the others are reported.
    """
    missing = [slide for slide in slides if not truth_file(run, slide.name).exists()]
    if not missing:
        return slides
    with ThreadPoolExecutor(jobs) as threads:
        reasons = threads.map(partial(_write, run), missing)
        failed = {
            slide.name
            for slide, reason in track(
                zip(missing, reasons, strict=True), "low-resolution slides", len(missing)
            )
            if reason is not None
        }
    return [slide for slide in slides if slide.name not in failed]


def _write(run: Run, row: CohortSlide) -> str | None:
    """The reason why a slide is left out, or None."""
    try:
        image, truth = _image_and_truth(row, run.recipe)
    except (SlideError, AnnotationError) as error:
        logger.warning("%s is left out of the refinement stage: %s", row.name, error)
        return str(error)
    write_png(image_file(run, row.name), image)
    # The truth is written last, so a slide with a truth is done.
    write_png(truth_file(run, row.name), truth)
    return None


def _image_and_truth(row: CohortSlide, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    settings = refinement_settings(recipe)
    with open_slide(row.slide, mpp=row.mpp) as slide:
        frame = slide.info.frame
        if settings.windows is not None:
            image = read_window_image(slide, settings.windows)
            return image.rgb, true_labels(row, recipe, frame, image.size_px)
        plane = read_low_resolution(slide, recipe.preprocessing.low_resolution)
    size_px = (settings.input_px, settings.input_px)
    truth = true_labels(row, recipe, frame, size_px)
    resized = keras.ops.convert_to_numpy(resize_bilinear(plane.rgb, size_px))
    return np.rint(resized).astype(np.uint8), truth
