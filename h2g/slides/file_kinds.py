"""What a file beside others is: a slide, a picture, or neither. Decided by its content."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import openslide

from h2g.slides.images import IMAGE_SUFFIXES, TIFF_SUFFIXES
from h2g.slides.info import GENERIC_TIFF
from h2g.slides.tiff_structure import tiff_structure

# A file with a scanner's suffix that does not open is a damaged slide.
SCANNER_SUFFIXES = frozenset(
    {".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm"}
)


def file_kind(path: Path) -> Literal["slide", "picture"] | None:
    """Whether a file is a slide or a picture; only headers are read.

    A slide is what OpenSlide opens. A TIFF file of one channel is a picture, since slides have
    colours, while masks and heatmaps have none. Damaged slides, and those whose colours lie in
    planes, count as slides, so that whoever opens them tells why they cannot be read.
    """
    try:
        vendor = openslide.OpenSlide.detect_format(path)
    except (openslide.OpenSlideError, OSError):
        vendor = None
    suffix = path.suffix.lower()
    if vendor == GENERIC_TIFF or (vendor is None and suffix in TIFF_SUFFIXES):
        structure = tiff_structure(path)
        if structure is None or structure.has_planes:
            return "slide"
        return "slide" if vendor is not None and structure.channels > 1 else "picture"
    if vendor is not None or suffix in SCANNER_SUFFIXES:
        return "slide"
    return "picture" if suffix in IMAGE_SUFFIXES else None
