"""Regions from label masks: PNG and (pyramidal) TIFF at any downsample.

A mask is stretched over the slide's whole field. A pixel holds its class's number (1, 2, ... in
the recipe's order). If the recipe has one class, any value but 0 means that class.
"""

from __future__ import annotations

import logging
from pathlib import Path

from shapely import affinity

from h2g.annotations.mask_files import fits, read_png_mask, read_tiff_mask
from h2g.annotations.raster import regions_from_labels
from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame

logger = logging.getLogger(__name__)


def read_mask(
    path: Path,
    settings: AnnotationSettings,
    frame: Frame,
) -> AnnotatedRegions:
    """The regions of a mask file, outlined along its pixels' edges.

    A mask may have the shape of the slide's ``openslide.bounds-*`` instead of the whole field, as
    QuPath exports it. It is then stretched over those bounds.
    """
    read = read_png_mask if path.suffix.lower() == ".png" else read_tiff_mask
    mask = read(path, len(settings.class_names))
    if len(mask.values) > 1 and len(settings.classes) == 1:
        logger.warning(
            "%s: the mask holds the values %s, and the recipe has one class, so all of them count "
            "as '%s'. If one means something else, list a class for each value.",
            path.name,
            ", ".join(map(str, mask.values)),
            settings.class_names[1],
        )
    x, y, *part_level0 = (0, 0, *frame.field_level0)
    if not fits(mask.size_px, frame.field_level0):
        x, y, *part_level0 = frame.scanned_level0
    covered = (part_level0[0], part_level0[1])
    if not fits(mask.size_px, covered):
        width, height = frame.field_level0
        raise AnnotationError(
            f"{path}: the mask has {mask.size_px[0]} x {mask.size_px[1]} pixels, the slide "
            f"{width} x {height}. Export a mask of the slide's whole field; any downsample will do."
        )
    annotated = regions_from_labels(
        mask.labels, settings.class_names, field_level0=covered, source=path
    )
    if (x, y) == (0, 0):
        return annotated
    moved = (Region(affinity.translate(r.geometry, x, y), r.class_name) for r in annotated.regions)
    return AnnotatedRegions(tuple(moved), path)
