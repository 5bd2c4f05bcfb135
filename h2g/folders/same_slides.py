"""Whether two files are one slide: links to one file, or parts of one DICOM series."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import openslide

# The first bytes of a DICOM file: a preamble of any content, then this word.
DICOM_WORD = slice(128, 132)


def slide_key(path: Path) -> tuple[object, ...]:
    """Equal for the files of one slide: the series of a DICOM file, or else the file on the disk.

    A file that does not exist is known by its path.
    """
    series = dicom_series(path)
    if series is not None:
        return ("series", series, path.parent.resolve())
    try:
        status = path.stat()
    except OSError:
        return ("path", path)
    return ("file", status.st_dev, status.st_ino)


def one_per_slide(files: Iterable[Path]) -> list[Path]:
    """The first file of each slide, in the given order."""
    first: dict[tuple[object, ...], Path] = {}
    for path in files:
        first.setdefault(slide_key(path), path)
    return list(first.values())


def dicom_series(path: Path) -> str | None:
    """The UID of the series that a DICOM file belongs to; None for other files.

    OpenSlide opens the whole series from any of its files.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(DICOM_WORD.stop)[DICOM_WORD] != b"DICM":
                return None
        with openslide.OpenSlide(path) as slide:
            return slide.properties.get("dicom.SeriesInstanceUID")
    except (openslide.OpenSlideError, OSError):
        return None  # opening it later reports the reason
