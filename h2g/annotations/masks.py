"""Label masks: PNG and (pyramidal) TIFF at any downsample, read to regions; and written as TIFF.

A mask is stretched over the slide's whole field. A pixel holds its class's number (1, 2, ... in
the recipe's order) or, when the recipe has one class, anything but 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from shapely import affinity

from h2g.annotations.mask_files import fits, read_png_mask, read_tiff_mask
from h2g.annotations.raster import Drawing, drawing, regions_from_labels
from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.errors import AnnotationError
from h2g.files import replacing
from h2g.recipes.annotation import AnnotationSettings

TILE_PX = 1024


def read_mask(
    path: Path,
    settings: AnnotationSettings,
    *,
    field_level0: tuple[int, int],
    bounds_level0: tuple[int, int, int, int],
) -> AnnotatedRegions:
    """The regions of a mask file, outlined along its pixels' edges.

    A mask that has the shape of the slide's ``openslide.bounds-*`` and not of its whole field
    (QuPath exports such) is laid over those bounds.
    """
    read = read_png_mask if path.suffix.lower() == ".png" else read_tiff_mask
    mask = read(path, len(settings.class_names))
    x, y, *part_level0 = (0, 0, *field_level0)
    if not fits(mask.size_px, field_level0):
        x, y, *part_level0 = bounds_level0
    covered = (part_level0[0], part_level0[1])
    if not fits(mask.size_px, covered):
        raise AnnotationError(
            f"{path}: the mask has {mask.size_px[0]} x {mask.size_px[1]} pixels, the slide "
            f"{field_level0[0]} x {field_level0[1]}: not the same shape. A mask covers the slide's "
            "whole field, at any downsample."
        )
    found = regions_from_labels(
        mask.labels, settings.class_names, field_level0=covered, source=path
    )
    if (x, y) == (0, 0):
        return found
    moved = (Region(affinity.translate(r.geometry, x, y), r.class_name) for r in found.regions)
    return AnnotatedRegions(tuple(moved), path)


def write_mask(
    annotated: AnnotatedRegions,
    path: Path,
    *,
    class_names: tuple[str, ...],
    field_level0: tuple[int, int],
    slide_mpp: float,
    downsample: float = 4,
) -> None:
    """Writes labels of the whole field as a tiled LZW pyramid with resolution tags.

    Each level is drawn from the outlines, a row of tiles at a time.

    Source: Pedersen et al. 2022, section 2.1 (downsample 4, tiles of 1024).
    """
    with replacing(path) as temporary:
        sizes = list(_level_sizes(field_level0, downsample))
        large = sum(width * height for width, height in sizes) > 2**31
        with tifffile.TiffWriter(temporary, bigtiff=large) as tiff:
            for number, size_px in enumerate(sizes):
                regions = drawing(
                    annotated, class_names, field_level0=field_level0, size_px=size_px
                )
                per_cm = [
                    1e4 / (slide_mpp * f / s) for f, s in zip(field_level0, size_px, strict=True)
                ]
                tiff.write(
                    _tiles(regions),
                    shape=size_px[::-1],
                    dtype=np.uint8,
                    tile=(TILE_PX, TILE_PX),
                    compression="lzw",
                    photometric="minisblack",
                    resolution=(per_cm[0], per_cm[1]),
                    resolutionunit="CENTIMETER",
                    subfiletype=1 if number else 0,
                    metadata=None,
                )


def _level_sizes(field_level0: tuple[int, int], downsample: float) -> Iterator[tuple[int, int]]:
    """Halving until a level fits into one tile."""
    while True:
        width, height = (max(1, round(side / downsample)) for side in field_level0)
        yield width, height
        if max(width, height) <= TILE_PX:
            return
        downsample *= 2


def _tiles(regions: Drawing) -> Iterator[np.ndarray]:
    width, height = regions.size_px
    for top in range(0, height, TILE_PX):
        rows = regions.rows(top, min(top + TILE_PX, height))
        padded = np.pad(rows, ((0, TILE_PX - len(rows)), (0, -width % TILE_PX)))
        yield from np.split(padded, padded.shape[1] // TILE_PX, axis=1)
