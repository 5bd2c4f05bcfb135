"""What a slide is scored from: its heatmap, and its annotation as labels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from h2g.annotations.raster import rasterise
from h2g.annotations.reading import read_annotations
from h2g.cohort import CohortSlide
from h2g.errors import SlideError
from h2g.inference.engine import Engine
from h2g.inference.patchwise import classify_slide
from h2g.recipes.recipe import Recipe
from h2g.runs import Run
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import describe_slide
from h2g.slides.writing import read_heatmap, write_heatmap

logger = logging.getLogger(__name__)


def slide_heatmap(
    run: Run, row: CohortSlide, engine: Callable[[], Engine], *, threads: int
) -> Heatmap:
    """The slide's heatmap in the run folder, by the run's patch network; see kept_heatmap."""
    file, network = run.heatmap_file(row.name), run.model_file("patch")
    return kept_heatmap(file, row, run.recipe, engine, network=network, threads=threads)


def kept_heatmap(
    file: Path,
    row: CohortSlide,
    recipe: Recipe,
    engine: Callable[[], Engine],
    *,
    network: Path,
    threads: int,
) -> Heatmap:
    """The slide's heatmap in ``file``, made where there is none, or one that cannot be read or is
    older than the patch network.

    Args:
        network: the file of the network that ``engine`` runs.
    """
    if file.is_file():
        try:
            if file.stat().st_mtime >= network.stat().st_mtime:
                return read_heatmap(file)
            logger.info("%s is older than the patch network and is made again.", file)
        except SlideError as error:
            logger.warning("%s It is made again.", error)
    classes = len(recipe.class_names)
    found = classify_slide(
        row.slide, row.mpp, engine(), recipe.preprocessing, classes, threads=threads
    )
    write_heatmap(file, found.heatmap)
    return found.heatmap


def true_labels(row: CohortSlide, recipe: Recipe, size_px: tuple[int, int]) -> np.ndarray:
    """The annotation rasterised over the slide's whole field.

    Args:
        size_px: (width, height).
    Returns:
        (height, width) uint8.
    """
    info = describe_slide(row.slide, mpp=row.mpp)
    annotated = read_annotations(
        row.annotation,
        recipe.annotation,
        field_level0=info.field_level0,
        bounds_level0=info.bounds_level0,
    )
    return rasterise(annotated, recipe.class_names, field_level0=info.field_level0, size_px=size_px)
