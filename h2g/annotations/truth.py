"""True labels of a cohort's slide, from its annotation."""

from __future__ import annotations

import numpy as np

from h2g.annotations.raster import rasterise
from h2g.annotations.reading import read_annotations
from h2g.folders.cohort import CohortSlide
from h2g.recipes.recipe import Recipe
from h2g.slides.frame import Frame


def true_labels(
    row: CohortSlide, recipe: Recipe, frame: Frame, size_px: tuple[int, int]
) -> np.ndarray:
    """The annotation rasterised over the slide's whole field.

    Args:
        frame: coordinates of the slide.
        size_px: (width, height).
    Returns:
        (height, width) uint8; UNKNOWN (255) outside the annotated part.
    Raises:
        AnnotationError: the annotation cannot be read.
    """
    annotated = read_annotations(row.annotation, recipe.annotation, frame)
    field_level0 = frame.field_level0
    return rasterise(annotated, recipe.class_names, field_level0=field_level0, size_px=size_px)
