"""Reads label masks from PNG and from tiled or stripped TIFF, in bounded memory."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL.PngImagePlugin import PngImageFile

from h2g.errors import AnnotationError

# A larger mask is read at a coarser level, or with only some of its rows and columns. The limit is
# about 3 um/px on a slide of 25 x 25 mm.
MAX_PX = 64_000_000
JPEG_LIKE = ("JPEG", "OJPEG", "JPEG2000", "APERIO_JP2000_YCBC", "APERIO_JP2000_RGB", "WEBP")
DECODER_ERRORS = (tifffile.TiffFileError, RuntimeError, ValueError, OSError, struct.error)

SHOWN_VALUES = 10
COLOUR_PICTURE = (
    "this is a colour image, not a label mask. Save a mask with one channel of class numbers; "
    "0 is background."
)


@dataclass(frozen=True)
class LabelMask:
    """The labels of a mask file.

    Attributes:
        labels: (h, w) uint8, about MAX_PX at most.
        size_px: (width, height) of the mask in the file, which may be larger.
        values: the values other than 0 in the file, some of them if there are many.
    """

    labels: np.ndarray
    size_px: tuple[int, int]
    values: tuple[int, ...]


def read_png_mask(path: Path, class_count: int) -> LabelMask:
    """Reads a PNG mask; AnnotationError if it is unreadable or holds other labels."""
    try:
        # Not Image.open, which refuses images of more than 179 Mpx.
        with PngImageFile(path) as image:
            values = np.asarray(image)
    except (*DECODER_ERRORS, SyntaxError) as error:
        raise AnnotationError(f"{path}: cannot be read as PNG ({error}).") from error
    height, width = values.shape[:2]
    rows, cols = _sampled(width, height)
    if len(rows) < height:
        values = values[rows][:, cols]
    found: set[int] = set()
    labels = _labels(_one_channel(values, path), class_count, path, found)
    return LabelMask(labels, (width, height), tuple(sorted(found)))


def read_tiff_mask(path: Path, class_count: int) -> LabelMask:
    """Reads a TIFF mask; AnnotationError if it is unreadable or holds other labels."""
    try:
        with tifffile.TiffFile(path) as tiff:
            levels = _levels(tiff)
            full = levels[0]
            _check_storage(full, path)
            found: set[int] = set()
            labels = _read_page(_fine_enough(levels), class_count, path, found)
            return LabelMask(labels, (full.imagewidth, full.imagelength), tuple(sorted(found)))
    except DECODER_ERRORS as error:
        raise AnnotationError(f"{path}: cannot be read as TIFF ({error}).") from error


def fits(size_px: tuple[int, int], field_level0: tuple[int, int]) -> bool:
    """Whether one downsample turns the field's size into the mask's, to within one pixel."""
    least = max((side - 1) / full for side, full in zip(size_px, field_level0, strict=True))
    most = min((side + 1) / full for side, full in zip(size_px, field_level0, strict=True))
    return least <= most


def _check_storage(page: tifffile.TiffPage, path: Path) -> None:
    compression = tifffile.COMPRESSION(page.compression).name
    if compression in JPEG_LIKE:
        raise AnnotationError(
            f"{path}: the mask is compressed as {compression}, which changes labels. Save it with "
            "LZW or deflate."
        )
    if page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        raise AnnotationError(f"{path}: {COLOUR_PICTURE}")


def _levels(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The file's first image and its smaller copies, finest first."""
    pages = [level.keyframe for series in tiff.series for level in series.levels if level.keyframe]
    first = pages[0]
    field = (first.imagewidth, first.imagelength)

    def is_copy(page: tifffile.TiffPage) -> bool:
        size = (page.imagewidth, page.imagelength)
        same = (page.dtype, page.samplesperpixel, page.compression)
        return (
            size < field
            and fits(size, field)
            and same == (first.dtype, first.samplesperpixel, first.compression)
        )

    copies = [page for page in pages[1:] if is_copy(page)]
    return [first, *sorted(copies, key=lambda page: -page.imagewidth)]


def _fine_enough(levels: list[tifffile.TiffPage]) -> tifffile.TiffPage:
    """The finest level within MAX_PX, or the next finer one if that level is far smaller."""
    large = [page for page in levels if page.imagewidth * page.imagelength > MAX_PX]
    small = levels[len(large) :]
    if large and (not small or small[0].imagewidth * small[0].imagelength < MAX_PX / 16):
        return large[-1]
    return small[0]


def _read_page(
    page: tifffile.TiffPage, class_count: int, path: Path, found: set[int]
) -> np.ndarray:
    """The page's labels, decoded tile by tile and subsampled if the page is too large."""
    rows, cols = _sampled(page.imagewidth, page.imagelength)
    labels = np.zeros((len(rows), len(cols)), dtype=np.uint8)
    white_is_0 = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    for segment, (*_, top, left, _), (_, height, width, _) in page.segments():
        if segment is None:  # a tile that holds only 0
            continue
        values = _one_channel(segment[0, :height, :width], path)
        values = (2**page.bitspersample - 1) - values if white_is_0 else values
        in_rows = slice(*np.searchsorted(rows, (top, top + height)))
        in_cols = slice(*np.searchsorted(cols, (left, left + width)))
        wanted = values[rows[in_rows] - top][:, cols[in_cols] - left]
        labels[in_rows, in_cols] = _labels(wanted, class_count, path, found)
    return labels


def _sampled(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spread rows and columns that keep about MAX_PX pixels."""
    factor = math.ceil(math.sqrt(max(1.0, width * height / MAX_PX)))

    def spread(side_px: int) -> np.ndarray:
        count = math.ceil(side_px / factor)
        return ((np.arange(count) + 0.5) * side_px / count).astype(np.int64)

    return spread(height), spread(width)


def _one_channel(values: np.ndarray, path: Path) -> np.ndarray:
    """The (h, w) values of an image with equal colour channels; an alpha channel is ignored."""
    if values.ndim == 3:
        colours = values[..., : 1 if values.shape[2] <= 2 else 3]
        if (colours != colours[..., :1]).any():
            raise AnnotationError(f"{path}: {COLOUR_PICTURE}")
        values = colours[..., 0]
    if values.dtype.kind not in "bui":
        raise AnnotationError(f"{path}: the mask holds {values.dtype} values, not class numbers.")
    return values


def _labels(values: np.ndarray, class_count: int, path: Path, found: set[int]) -> np.ndarray:
    """The class numbers of values, uint8; adds the values other than 0 to ``found``."""
    if values.size and values.min() < 0:
        raise AnnotationError(
            f"{path}: the mask holds the value {values.min()}. Save it with class numbers of 0 or "
            "more."
        )
    if len(found) < SHOWN_VALUES:
        found.update(np.unique(values[values != 0]).tolist()[:SHOWN_VALUES])
    if class_count == 2:
        return (values != 0).astype(np.uint8)
    if values.size and values.max() >= class_count:
        shown = ", ".join(map(str, np.unique(values)[:SHOWN_VALUES]))
        raise AnnotationError(
            f"{path}: the mask holds the values {shown}; the recipe's classes have the values 0 to "
            f"{class_count - 1}."
        )
    return values.astype(np.uint8)
