"""The slides of a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import openslide

from h2g.slides.slide import SLIDE_SUFFIXES


def slides_below(folder: Path, *, apart_from: Path | None = None) -> list[Path]:
    """The slides of a folder and all folders in it, sorted; of a DICOM series one file.

    Args:
        apart_from: a folder that is not searched.
    """
    skipped = apart_from.resolve() if apart_from else None
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if (Path(parent) / name).resolve() != skipped]
        # macOS leaves hidden files of the same suffix beside every file.
        files += [Path(parent) / name for name in names if not name.startswith(".")]
    return _one_per_series(sorted(f for f in files if f.suffix.lower() in SLIDE_SUFFIXES))


def _one_per_series(files: Sequence[Path]) -> list[Path]:
    """OpenSlide opens a whole DICOM series by any of its files."""
    kept, seen = [], set()
    for file in files:
        series = _dicom_series(file) if file.suffix.lower() == ".dcm" else None
        if series is None or (file.parent, series) not in seen:
            kept.append(file)
        seen.add((file.parent, series))
    return kept


def _dicom_series(file: Path) -> str | None:
    try:
        with openslide.OpenSlide(file) as slide:
            return slide.properties.get("dicom.SeriesInstanceUID")
    except openslide.OpenSlideError:
        return None  # opening it later will say why it cannot be read
