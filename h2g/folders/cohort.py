"""The cohort table: slides with their annotations, splits, grades, patients and um/px."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from h2g.errors import CohortError
from h2g.files import absolute, replacing
from h2g.folders.same_slides import slide_key
from h2g.folders.table_files import TableRow, read_table
from h2g.texts import name_of_slide, same_text

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
REQUIRED = ("slide", "annotation", "split")
OPTIONAL = ("grade", "patient", "mpp")


@dataclass(frozen=True)
class CohortSlide:
    """One row of the table. ``name`` is the stem of the slide file, and names all its outputs."""

    name: str
    slide: Path
    annotation: Path
    split: Split
    grade: str = "all"
    patient: str | None = None
    mpp: float | None = None  # um/px of level 0; overrides the slide's own


@dataclass(frozen=True)
class Cohort:
    """The rows of a cohort table, and the table's path."""

    path: Path
    slides: tuple[CohortSlide, ...]

    def split(self, split: Split) -> tuple[CohortSlide, ...]:
        return tuple(slide for slide in self.slides if slide.split == split)


def read_cohort(
    path: Path, *, files_must_exist: bool = True, data_root: Path | None = None
) -> Cohort:
    """Reads a cohort table (CSV); paths in it are relative to the file.

    Args:
        files_must_exist: whether the slides and annotations must exist.
        data_root: the folder where files that have moved lie now (:meth:`TableRow.path`).
    Raises:
        CohortError: the table is unreadable or empty; a column is missing; a split is unknown; a
            file does not exist; two slides share a name, or
            are one; a patient is in two splits.
    """
    rows = read_table(path, required=REQUIRED, optional=OPTIONAL).rows
    patients = _patients(rows)
    if data_root is not None and not data_root.is_dir():
        raise CohortError(f"{data_root}: no such folder. --data-root is where the slides lie now.")
    slides = tuple(_slide(row, patients, files_must_exist, data_root) for row in rows)
    _check_names(path, slides)
    return Cohort(path, slides)


def write_cohort(cohort: Cohort, path: Path) -> None:
    """Writes ``cohort`` as CSV with absolute paths; links keep their own names."""
    # File names that are not UTF-8 keep their bytes, so that they are found again.
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((*REQUIRED, *OPTIONAL))
        for slide in cohort.slides:
            files = absolute(slide.slide), absolute(slide.annotation)
            writer.writerow((*files, slide.split, slide.grade, slide.patient, slide.mpp))


def _slide(
    row: TableRow, patients: dict[str, str], files_must_exist: bool, data_root: Path | None
) -> CohortSlide:
    files = {key: row.path(key, data_root=data_root) for key in ("slide", "annotation")}
    for key, file in files.items():
        if not row.text(key):
            raise CohortError(f"{row.place}: the {key} is missing. Write its path.")
        if files_must_exist and not os.path.exists(file):
            raise CohortError(
                f"{row.place}: the {key} '{row.text(key)}' does not exist. Paths are relative to "
                "the table. If the data have moved, name their new folder with --data-root."
            )
    return CohortSlide(
        name=name_of_slide(files["slide"]),
        slide=files["slide"],
        annotation=files["annotation"],
        split=_split(row),
        grade=row.text("grade") or "all",
        patient=patients.get(same_text(row.text("patient"))),
        mpp=row.number("mpp"),
    )


def _split(row: TableRow) -> Split:
    for split in SPLITS:
        if same_text(row.text("split")) == split:
            return split
    raise CohortError(
        f"{row.place}: split '{row.text('split')}' is not one of {', '.join(SPLITS)}."
    )


def _check_names(path: Path, slides: tuple[CohortSlide, ...]) -> None:
    first: dict[str, CohortSlide] = {}
    same: dict[tuple[object, ...], CohortSlide] = {}
    for slide in slides:
        other = same.setdefault(slide_key(slide.slide), slide)
        if other is not slide and other.name != slide.name:
            raise CohortError(
                f"{path}: {other.slide} and {slide.slide} are one slide: links to one file, or "
                "files of one DICOM series. Keep one row of it."
            )
        if slide.name in first:
            raise CohortError(
                f"{path}: two slides are named '{slide.name}' ({first[slide.name].slide} and "
                f"{slide.slide}). Outputs are named after slides, so rename one."
            )
        first[slide.name] = slide


def _patients(rows: Sequence[TableRow]) -> dict[str, str]:
    """The first spelling of each patient, by the form in which spellings are compared.

    Raises:
        CohortError: a patient has slides in two splits.
    """
    first: dict[str, TableRow] = {}
    for row in rows:
        key = same_text(row.text("patient"))
        if not key:
            continue
        other = first.setdefault(key, row)
        if _split(other) != _split(row):
            raise CohortError(
                f"{row.file}: patient '{other.text('patient')}' has slides in both "
                f"'{_split(other)}' (line {other.line}) and '{_split(row)}' (line {row.line}, "
                f"written '{row.text('patient')}'). Put all of them in one split."
            )
    return {key: row.text("patient") for key, row in first.items()}
