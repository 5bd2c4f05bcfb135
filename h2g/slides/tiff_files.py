"""Tiled pyramidal TIFF files, and heatmaps as TIFF files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import tifffile

from h2g.errors import SlideError
from h2g.files import replacing
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.tiff_structure import READ_FAILURES

UM_PER_CM = 10_000
# Offsets in a classic TIFF have 32 bits, and a pyramid is 4/3 of its first level.
CLASSIC_BYTES = 2**32 * 3 // 4 - 2**24


def write_pyramid(
    path: Path,
    image: np.ndarray,
    *,
    mpp: float | tuple[float, float],
    tile_px: int = 512,
    compression: str = "deflate",
) -> None:
    """Writes a tiled TIFF whose levels are halved until they fit a tile, for OpenSlide and QuPath.

    Args:
        image: (h, w) uint8 labels, reduced to the nearest label, or (h, w, 3) uint8 RGB, averaged.
        mpp: um/px of the image, or (x, y) if they differ.
        compression: "deflate", "lzw", "jpeg" or another of tifffile's.
    """
    mpp_x, mpp_y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    with (
        replacing(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=image.nbytes > CLASSIC_BYTES) as tiff,
    ):
        level, is_first = image, True
        while True:
            shrink_x, shrink_y = image.shape[1] / level.shape[1], image.shape[0] / level.shape[0]
            tiff.write(
                level,
                photometric="minisblack" if image.ndim == 2 else "rgb",
                tile=(tile_px, tile_px),
                compression=compression,
                resolution=(UM_PER_CM / (mpp_x * shrink_x), UM_PER_CM / (mpp_y * shrink_y)),
                resolutionunit="CENTIMETER",
                subfiletype=0 if is_first else 1,
                metadata=None,
            )
            if max(level.shape[:2]) <= tile_px:
                break
            level, is_first = _halved(level), False


def write_heatmap(path: Path, heatmap: Heatmap) -> None:
    """Writes a float32 TIFF (rows, cols, C), with its place in resolution tags and description.

    If some cells are estimated, a second page (rows, cols) uint8 has 1 where one is classified.
    """
    place = {
        "step_level0": heatmap.step_level0,
        "slide_mpp": heatmap.frame.mpp,
        "field_level0": heatmap.frame.field_level0,
    }
    cells_per_cm = UM_PER_CM / heatmap.mpp
    values = heatmap.values.astype(np.float32)
    with replacing(path) as temporary, tifffile.TiffWriter(temporary) as tiff:
        tiff.write(
            values if values.shape[2] > 1 else values[..., 0],
            photometric="minisblack",
            planarconfig="contig" if values.shape[2] > 1 else None,
            compression="deflate",
            resolution=(cells_per_cm, cells_per_cm),
            resolutionunit="CENTIMETER",
            description=json.dumps({"h2g.heatmap": place}),
            metadata=None,
        )
        if heatmap.classified is not None:
            classified = heatmap.classified.astype(np.uint8)
            tiff.write(classified, photometric="minisblack", compression="deflate", metadata=None)


def read_heatmap(path: Path) -> Heatmap:
    """Reads a heatmap of :func:`write_heatmap`; SlideError if the file is not one."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            place = json.loads(page.description)["h2g.heatmap"]
            shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
            values = page.asarray().reshape(shape)
            classified = tiff.pages[1].asarray() > 0 if len(tiff.pages) > 1 else None
        width, height = place["field_level0"]
        return Heatmap(
            values=values,
            step_level0=float(place["step_level0"]),
            frame=Frame((int(width), int(height)), float(place["slide_mpp"])),
            classified=classified,
        )
    except READ_FAILURES as error:
        raise SlideError(
            f"{path}: not a heatmap that h2g wrote ({error}). Delete it and run the command again."
        ) from error


def _halved(level: np.ndarray) -> np.ndarray:
    height, width = level.shape[:2]
    size_px = (max(1, width // 2), max(1, height // 2))
    interpolation = cv2.INTER_NEAREST if level.ndim == 2 else cv2.INTER_AREA
    return cv2.resize(level, size_px, interpolation=interpolation)
