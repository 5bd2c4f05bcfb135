"""Outlines inside which slides are predicted, from files like those of annotations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely

from h2g.annotations.raster import UNKNOWN, rasterise
from h2g.annotations.reading import READERS, read_annotations
from h2g.annotations.regions import AnnotatedRegions, areas
from h2g.errors import AnnotationError, WrongUseError
from h2g.folders.predictions import SlideRequest
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame
from h2g.texts import first_few

# Every outline counts, whatever its class, but QuPath's class for what is to be ignored.
ANY_CLASS = AnnotationSettings(unlisted="region", ignored=("Ignore*",))


def with_regions(requests: Sequence[SlideRequest], place: Path) -> tuple[SlideRequest, ...]:
    """The requests, each with its file of outlines.

    Args:
        place: the file for a single slide, or a folder with a file for each slide, named after the
            slide, such as ``<slide>.geojson``.
    Raises:
        WrongUseError: a slide has no file, or several; or there is one file for several slides.
    """
    if not place.exists():
        raise WrongUseError(f"{place}: no such file or folder of outlines.")
    if not place.is_dir():
        if len(requests) > 1:
            raise WrongUseError(
                f"{place}: one file of outlines for {len(requests)} slides. Give a folder with a "
                "file for each slide, named after it, such as slide.geojson."
            )
        return tuple(dataclasses.replace(each, regions=place) for each in requests)
    files = {each.name: _files_of(each.name, place) for each in requests}
    for number, what in ((0, "no file"), (2, "several files")):
        names = [name for name, found in files.items() if min(len(found), 2) == number]
        if names:
            raise WrongUseError(
                f"{place}: {what} of outlines for {first_few(names)}. Each slide needs one that is "
                f"named after it, such as {names[0]}.geojson."
            )
    return tuple(dataclasses.replace(each, regions=files[each.name][0]) for each in requests)


def _files_of(name: str, folder: Path) -> list[Path]:
    named = [folder / f"{name}{suffix}" for suffix in READERS]
    return [path for path in named if path.is_file()]


def read_regions(file: Path, frame: Frame) -> AnnotatedRegions:
    """The outlines of a file as the part of the slide to predict (``within``).

    Raises:
        AnnotationError: the file cannot be read, or holds no outline.
    """
    found = read_annotations(file, ANY_CLASS, frame)
    parts = [region.geometry for region in found.regions]
    if found.within is not None:
        parts.append(found.within)
    within = areas(shapely.union_all(parts).intersection(shapely.box(0, 0, *frame.field_level0)))
    if within.is_empty:
        raise AnnotationError(f"{file}: holds no outline on the slide, so nothing to predict.")
    return AnnotatedRegions((), file, within)


def is_outside(regions: AnnotatedRegions, frame: Frame, size_px: tuple[int, int]) -> np.ndarray:
    """The pixels of an image of the slide's field that lie outside the outlines.

    Args:
        size_px: (width, height) of the image.
    Returns:
        (height, width) bool.
    """
    labels = rasterise(regions, (), field_level0=frame.field_level0, size_px=size_px)
    return labels == UNKNOWN
