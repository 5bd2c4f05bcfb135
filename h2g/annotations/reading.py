"""Reads any annotation file with the reader for its suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from h2g.annotations.asap import read_asap
from h2g.annotations.masks import read_mask
from h2g.annotations.qupath import read_geojson
from h2g.annotations.regions import AnnotatedRegions
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame


class Reader(Protocol):
    def __call__(
        self,
        path: Path,
        settings: AnnotationSettings,
        frame: Frame,
    ) -> AnnotatedRegions: ...


READERS: dict[str, Reader] = {
    ".geojson": read_geojson,
    ".json": read_geojson,
    ".geojson.gz": read_geojson,
    ".json.gz": read_geojson,
    ".xml": read_asap,
    ".png": read_mask,
    ".tif": read_mask,
    ".tiff": read_mask,
}


def read_annotations(
    path: Path,
    settings: AnnotationSettings,
    frame: Frame,
) -> AnnotatedRegions:
    """The annotated regions of a slide, in level-0 pixels of its whole field and cut to it.

    A file without annotations gives no regions.

    Args:
        frame: coordinates of the slide.
    Raises:
        AnnotationError: the file is unknown or damaged, a name is unknown to the recipe, or a mask
            differs from the slide in shape.
    """
    name = path.name.lower()
    fitting = [suffix for suffix in READERS if name.endswith(suffix)]
    if not fitting:
        hint = (
            " JPEG changes labels; save the mask as PNG." if name.endswith(("jpg", "jpeg")) else ""
        )
        raise AnnotationError(
            f"{path}: not a known annotation file.{hint} Use one of {', '.join(READERS)} "
            "(QuPath's GeoJSON, ASAP's XML, label masks)."
        )
    if not path.is_file():
        raise AnnotationError(f"{path}: the annotation file does not exist.")
    reader = READERS[max(fitting, key=len)]
    return reader(path, settings, frame)
