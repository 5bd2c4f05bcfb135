"""The slides to predict, from files, folders and tables of slides."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from h2g.errors import WrongUseError
from h2g.folders.cohort import OPTIONAL, REQUIRED
from h2g.folders.predictions import SlideRequest
from h2g.folders.same_slides import one_per_slide
from h2g.folders.table_files import (
    TABLE_SUFFIXES,
    TableRow,
    read_table,
    refuse_spreadsheet,
)
from h2g.slides.file_kinds import file_kind
from h2g.slides.images import IMAGE_SUFFIXES
from h2g.texts import first_few, same_text

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderSlides:
    """The slides below a folder, and the pictures that were left out because slides lie there."""

    slides: tuple[Path, ...]
    left_out: tuple[Path, ...] = ()


def slides_below(folder: Path, *, apart_from: Path | None = None) -> FolderSlides:
    """The slides of a folder and all its subfolders, sorted; one file per DICOM series.

    A slide is what OpenSlide opens, whatever its suffix, but for TIFF files of one channel: those
    are masks or heatmaps. Plain images are slides only in a folder without any other slide;
    elsewhere they are thumbnails, masks, or parts of a slide.

    Args:
        apart_from: a folder that is not searched.
    """
    skipped = apart_from.resolve() if apart_from else None
    slides, pictures = [], []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if (Path(parent) / name).resolve() != skipped]
        # macOS leaves hidden files with the same suffix beside every file.
        for file in (Path(parent) / name for name in names if not name.startswith(".")):
            kind = file_kind(file)
            if kind == "slide":
                slides.append(file)
            elif kind == "picture":
                pictures.append(file)
    if slides:
        return FolderSlides(tuple(one_per_slide(sorted(slides))), tuple(sorted(pictures)))
    return FolderSlides(tuple(sorted(pictures)))


def find_slides(
    places: Sequence[Path],
    *,
    mpp: float | None = None,
    split: str | None = None,
    apart_from: Path | None = None,
) -> tuple[SlideRequest, ...]:
    """The slides that files, folders and tables name, each once.

    Subfolders are searched too (:func:`slides_below`), and a DICOM series gives one of its files,
    however it was named. A table is a CSV file
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
            found.setdefault(request.path, request)
    requests = tuple(found[path] for path in one_per_slide(found))
    _refuse_equal_names(requests)
    return requests


def _slides_at(
    place: Path, mpp: float | None, split: str | None, apart_from: Path | None
) -> list[SlideRequest]:
    if not place.exists():
        raise WrongUseError(f"{place}: no such file or folder.")
    refuse_spreadsheet(place)
    if place.suffix.lower() in TABLE_SUFFIXES:
        return _slides_of_table(place, mpp, split)
    if split is not None:
        raise WrongUseError(f"{place}: --split needs a table (CSV) with a column split.")
    if not place.is_dir():
        return [SlideRequest(place, mpp)]
    below = slides_below(place, apart_from=apart_from)
    if not below.slides:
        raise WrongUseError(
            f"{place}: no slide in this folder. OpenSlide opens none of its files, and none is a "
            f"plain image ({', '.join(sorted(IMAGE_SUFFIXES))})."
        )
    if below.left_out:
        logger.warning(
            "%s: pictures beside slides are left out: %d (%s). To predict a picture, name it.",
            place,
            len(below.left_out),
            first_few([str(file.relative_to(place)) for file in below.left_out]),
        )
    return [SlideRequest(file, mpp) for file in below.slides]


def _slides_of_table(path: Path, mpp: float | None, split: str | None) -> list[SlideRequest]:
    required = ("slide",) if split is None else ("slide", "split")
    columns = ("mpp", "split", *REQUIRED, *OPTIONAL)
    optional = [name for name in dict.fromkeys(columns) if name not in required]
    rows = read_table(path, required=required, optional=optional).rows
    if split is not None:
        rows = tuple(row for row in rows if same_text(row.text("split")) == split)
    if not rows:
        raise WrongUseError(f"{path}: no slides of split {split} in the table.")
    return [_request(row, mpp) for row in rows]


def _request(row: TableRow, mpp: float | None) -> SlideRequest:
    if not row.text("slide"):
        raise WrongUseError(f"{row.place}: the slide is missing. Write its path.")
    own_mpp = row.number("mpp")
    return SlideRequest(row.path("slide"), own_mpp if own_mpp is not None else mpp)


def _refuse_equal_names(requests: Sequence[SlideRequest]) -> None:
    first: dict[str, SlideRequest] = {}
    for request in requests:
        other = first.setdefault(request.name, request)
        if other is not request:
            raise WrongUseError(
                f"Two slides are named '{request.name}' ({other.path} and {request.path}). Outputs "
                "are named after slides. Rename one slide, or predict into two folders."
            )
