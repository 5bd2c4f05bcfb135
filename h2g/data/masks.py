"""Masks of patches, drawn from the slide's annotation on demand."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from h2g.annotations.raster import Drawing, drawing
from h2g.annotations.reading import read_annotations
from h2g.data.sampler import SlidePatches
from h2g.folders.cohort import CohortSlide
from h2g.recipes.recipe import Recipe
from h2g.slides.reading import describe_slide


class Masks:
    """Draws masks of patches. Threads may share it, and each annotation is read once."""

    def __init__(self, rows: Mapping[str, CohortSlide], recipe: Recipe) -> None:
        """
        Args:
            rows: the cohort's slides by name.
        """
        self._rows, self._recipe = rows, recipe
        self._drawings: dict[str, Drawing] = {}
        self._lock = threading.Lock()

    def draw(self, slide: SlidePatches, patch: int) -> np.ndarray:
        """Labels of one patch of a slide, (S, S) uint8.

        Raises:
            SlideError, AnnotationError: the slide or its annotation cannot be read.
        """
        x, y = slide.xy_level0[patch]
        pixel, side = slide.plan.pixel_level0, slide.plan.size_px
        return self._drawing(slide).window(left=x / pixel, top=y / pixel, size_px=(side, side))

    def _drawing(self, slide: SlidePatches) -> Drawing:
        """The annotation of the whole field at the resolution of the patches."""
        with self._lock:
            if slide.name not in self._drawings:
                self._drawings[slide.name] = self._read(slide)
            return self._drawings[slide.name]

    def _read(self, slide: SlidePatches) -> Drawing:
        row, recipe = self._rows[slide.name], self._recipe
        frame = describe_slide(row.slide, mpp=row.mpp).frame
        annotated = read_annotations(row.annotation, recipe.annotation, frame)
        pixel = slide.plan.pixel_level0
        width, height = (max(1, round(side / pixel)) for side in frame.field_level0)
        return drawing(
            annotated,
            recipe.class_names,
            field_level0=(width * pixel, height * pixel),
            size_px=(width, height),
        )
