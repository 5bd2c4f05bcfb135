"""The cohort table: slides with their annotations, splits, grades, patients and um/px."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from h2g.errors import CohortError

if TYPE_CHECKING:  # imported only with a table, because prediction starts without it
    import pandas as pd

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


def read_cohort(path: Path, *, files_must_exist: bool = True) -> Cohort:
    """Reads a cohort table (CSV); paths in it are relative to the file.

    Args:
        files_must_exist: whether the slides and annotations must exist.
    Raises:
        CohortError: the table is unreadable or empty; a column is missing or unknown; a split is
            unknown; a file does not exist; two slides share a name; a patient is in two splits.
    """
    table = _read_table(path)
    slides = tuple(
        _slide(path, number, {str(key): value for key, value in row.items()}, files_must_exist)
        for number, row in enumerate(table.to_dict("records"), start=2)
    )
    _check_names(path, slides)
    _check_patients(path, slides)
    return Cohort(path, slides)


def write_cohort(cohort: Cohort, path: Path) -> None:
    """Writes ``cohort`` as CSV with absolute paths."""
    import pandas as pd

    rows = [
        {
            "slide": slide.slide.resolve(),
            "annotation": slide.annotation.resolve(),
            "split": slide.split,
            "grade": slide.grade,
            "patient": slide.patient,
            "mpp": slide.mpp,
        }
        for slide in cohort.slides
    ]
    pd.DataFrame(rows).to_csv(path, index=False)


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise CohortError(
            f"{path}: the cohort table cannot be read ({error}). Give a CSV file in UTF-8."
        ) from error
    except pd.errors.EmptyDataError as error:
        raise CohortError(f"{path}: the cohort table is empty. Add one row per slide.") from error
    header = f"the header must be {','.join(REQUIRED)}[,{','.join(OPTIONAL)}]"
    missing = [column for column in REQUIRED if column not in table.columns]
    if missing:
        raise CohortError(f"{path}: no column {', '.join(missing)}; {header}.")
    unknown = [column for column in table.columns if column not in REQUIRED + OPTIONAL]
    if unknown:
        raise CohortError(f"{path}: unknown column {', '.join(unknown)}; {header}.")
    if table.empty:
        raise CohortError(f"{path}: the cohort table has no rows. Add one row per slide.")
    return table


def _slide(path: Path, number: int, row: dict[str, str], files_must_exist: bool) -> CohortSlide:
    where = f"{path}, line {number}"
    split = row["split"].strip().lower()
    if split not in SPLITS:
        raise CohortError(f"{where}: split '{row['split']}' is not one of {', '.join(SPLITS)}.")
    files = {key: path.parent / row[key].strip() for key in ("slide", "annotation")}
    for key, file in files.items():
        if not row[key].strip() or (files_must_exist and not file.exists()):
            raise CohortError(
                f"{where}: the {key} '{row[key]}' does not exist. Paths are relative to the table."
            )
    mpp = row.get("mpp", "").strip()
    return CohortSlide(
        name=files["slide"].stem,
        slide=files["slide"],
        annotation=files["annotation"],
        split=split,
        grade=row.get("grade", "").strip() or "all",
        patient=row.get("patient", "").strip() or None,
        mpp=parse_mpp(where, mpp) if mpp else None,
    )


def parse_mpp(where: str, text: str) -> float:
    """Parses the um/px of a table.

    Args:
        where: file and line, for the error.
    Raises:
        CohortError: the text is not a positive number.
    """
    try:
        mpp = float(text)
    except ValueError:
        mpp = math.nan
    if not (mpp > 0 and math.isfinite(mpp)):
        raise CohortError(f"{where}: mpp '{text}' is not a positive number of um/px.")
    return mpp


def _check_names(path: Path, slides: tuple[CohortSlide, ...]) -> None:
    first: dict[str, CohortSlide] = {}
    for slide in slides:
        if slide.name in first:
            raise CohortError(
                f"{path}: two slides are named '{slide.name}' ({first[slide.name].slide} and "
                f"{slide.slide}). Outputs are named after slides, so rename one."
            )
        first[slide.name] = slide


def _check_patients(path: Path, slides: tuple[CohortSlide, ...]) -> None:
    splits: dict[str, Split] = {}
    for slide in slides:
        if slide.patient is None:
            continue
        if splits.setdefault(slide.patient, slide.split) != slide.split:
            raise CohortError(
                f"{path}: patient '{slide.patient}' has slides in both "
                f"'{splits[slide.patient]}' and '{slide.split}'. Put all of them in one split."
            )
