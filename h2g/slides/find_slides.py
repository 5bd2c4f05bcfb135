"""The slides to predict, from files, folders and tables of slides."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import openslide

from h2g.errors import WrongUseError
from h2g.folders.cohort import parse_mpp
from h2g.folders.predictions import SlideRequest
from h2g.slides.slide import SLIDE_SUFFIXES


def slides_below(folder: Path, *, apart_from: Path | None = None) -> list[Path]:
    """The slides of a folder and all its subfolders, sorted; one file per DICOM series.

    Args:
        apart_from: a folder that is not searched.
    """
    skipped = apart_from.resolve() if apart_from else None
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if (Path(parent) / name).resolve() != skipped]
        # macOS leaves hidden files with the same suffix beside every file.
        files += [Path(parent) / name for name in names if not name.startswith(".")]
    return _one_per_series(sorted(f for f in files if f.suffix.lower() in SLIDE_SUFFIXES))


def _one_per_series(files: Sequence[Path]) -> list[Path]:
    """One file per DICOM series, because OpenSlide opens a whole series from any of its files."""
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
        return None  # opening it later reports the reason


if TYPE_CHECKING:  # imported only to read a table, because prediction starts without pandas
    import pandas as pd


def find_slides(
    places: Sequence[Path],
    *,
    mpp: float | None = None,
    split: str | None = None,
    apart_from: Path | None = None,
) -> tuple[SlideRequest, ...]:
    """The slides that files, folders and tables name, each once.

    Subfolders are searched too, and a DICOM series gives one of its files. A table is a CSV file
    with a column ``slide`` (paths relative to the file) and optional columns ``mpp`` and ``split``.
    A cohort table is such a table.

    Args:
        mpp: um/px of slides whose row names none.
        split: takes only rows of this split; for tables only.
        apart_from: a folder that is not searched, because predictions are written there.
    Raises:
        WrongUseError: a place does not exist or holds no slide, or two slides have the same name.
    """
    found: dict[Path, SlideRequest] = {}
    for place in places:
        for request in _slides_at(place, mpp, split, apart_from):
            found.setdefault(request.path.resolve(), request)
    requests = tuple(found.values())
    _refuse_equal_names(requests)
    return requests


def _slides_at(
    place: Path, mpp: float | None, split: str | None, apart_from: Path | None
) -> list[SlideRequest]:
    if not place.exists():
        raise WrongUseError(f"{place}: no such file or folder.")
    if place.suffix.lower() == ".csv":
        return _slides_of_table(place, mpp, split)
    if split is not None:
        raise WrongUseError(f"{place}: --split needs a table (CSV) with a column split.")
    if not place.is_dir():
        return [SlideRequest(place, mpp)]
    files = slides_below(place, apart_from=apart_from)
    if not files:
        raise WrongUseError(
            f"{place}: no slide in this folder (looked for {', '.join(sorted(SLIDE_SUFFIXES))})."
        )
    return [SlideRequest(file, mpp) for file in files]


def _slides_of_table(path: Path, mpp: float | None, split: str | None) -> list[SlideRequest]:
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:  # pandas's parser errors are ValueErrors
        raise WrongUseError(f"{path}: the table cannot be read ({error}).") from error
    for column in ("slide",) if split is None else ("slide", "split"):
        if column not in table.columns:
            raise WrongUseError(f"{path}: no column {column}; its header is slide[,mpp][,split].")
    if split is not None:
        table = table[table["split"].str.strip().str.lower() == split]
    if table.empty:
        of_split = f" of split {split}" if split else ""
        raise WrongUseError(f"{path}: no slides{of_split} in the table.")
    return list(_rows(path, table, mpp))


def _rows(path: Path, table: pd.DataFrame, mpp: float | None) -> Iterator[SlideRequest]:
    has_mpp = "mpp" in table.columns
    for position, row in zip(table.index, table.to_dict("records"), strict=True):
        where = f"{path}, line {int(position) + 2}"
        if not row["slide"].strip():
            raise WrongUseError(f"{where}: the slide is missing.")
        text = row["mpp"].strip() if has_mpp else ""
        yield SlideRequest(
            path.parent / row["slide"].strip(), parse_mpp(where, text) if text else mpp
        )


def _refuse_equal_names(requests: Sequence[SlideRequest]) -> None:
    first: dict[str, SlideRequest] = {}
    for request in requests:
        other = first.setdefault(request.name, request)
        if other is not request:
            raise WrongUseError(
                f"Two slides are named '{request.name}' ({other.path} and {request.path}). Outputs "
                "are named after slides. Rename one slide, or predict into two folders."
            )
