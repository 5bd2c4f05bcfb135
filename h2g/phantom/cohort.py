"""Generates a whole cohort of slides, annotations and a table; a rerun makes what is missing."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from h2g.errors import WrongUseError
from h2g.files import write_text
from h2g.folders.cohort import Split
from h2g.phantom.anatomy import Anatomy
from h2g.phantom.slide import SlideOptions
from h2g.phantom.workers import SlideJob, make_slides
from h2g.phantom.writing import LEAST_SIDE_PX, Suffix
from h2g.progress import progress

logger = logging.getLogger(__name__)

# The longer side of a slide, if sizes come from a range, is up to this times the shorter one.
LONGEST = 1.5
# Raised with every change of pixels, so that slides of two versions never share a folder.
VERSION = 1


@dataclass(frozen=True)
class _Row:
    """A row of the cohort table."""

    options: SlideOptions
    split: Split
    patient: str

    @property
    def slide(self) -> str:
        return f"slides/{self.options.name}.{self.options.suffix}"

    @property
    def annotation(self) -> str:
        return f"annotations/{self.options.name}.geojson"


def generate_cohort(
    out: Path,
    *,
    slides: int = 12,
    size_mm: float | tuple[float, float] = 8.0,
    mpp: float = 1.0,
    seed: int = 0,
    jobs: int = 1,
    suffix: Suffix = "svs",
    anatomy: Anatomy | None = None,
) -> Path:
    """Generates the missing parts of a cohort and returns its table, ``out/cohort.csv``.

    The bytes depend on every argument but ``jobs``.

    Args:
        size_mm: shorter side of a slide, rounded up to a multiple of LEAST_SIDE_PX pixels so that
            every level has half the size of the previous one. Two of three slides are an eighth
            longer in one direction. A range (low, high) gives every slide another size, evenly over
            the range in each split, and turns its section and varies the glass around it.
        mpp: um/px of level 0.
        jobs: number of processes, or of threads if there are fewer slides.
        suffix: ``svs`` for Aperio's format, ``tiff`` for a plain tiled pyramid.
    Raises:
        WrongUseError: invalid options, or a folder with other contents.
    """
    _check(slides=slides, size_mm=size_mm, mpp=mpp, seed=seed, suffix=suffix)
    anatomy = anatomy or Anatomy()
    options = {
        "version": VERSION,
        "slides": slides,
        "size_mm": size_mm,
        "mpp": mpp,
        "seed": seed,
        "suffix": suffix,
        "anatomy": asdict(anatomy),
    }
    done = _open_record(out, options)
    rows = _rows(slides, size_mm=size_mm, mpp=mpp, seed=seed, suffix=suffix, anatomy=anatomy)
    missing = [row for row in rows if not _is_whole(out, row, done)]
    if len(missing) < len(rows):
        logger.info("%d of %d slides already exist.", len(rows) - len(missing), len(rows))
    for row in missing:
        # Files that a killed run left unfinished.
        for stale in (out / "slides").glob(f".{row.options.name}.*"):
            stale.unlink()
    work = [
        SlideJob(row.options, slide=out / row.slide, annotation=out / row.annotation)
        for row in missing
    ]
    with progress("Generating slides", total=len(rows)) as advance:
        advance(len(rows) - len(missing))
        for job in make_slides(work, jobs=jobs, note=lambda text: advance(0, note=text)):
            done[job.options.name] = [job.slide.stat().st_size, job.annotation.stat().st_size]
            _write_record(out, options, done)
            advance(note=job.options.name)
    # Written last, because a folder with a table counts as a whole cohort.
    write_text(out / "cohort.csv", _table(rows))
    return out / "cohort.csv"


def splits(count: int) -> list[Split]:
    """The split of every slide.

    A sixth is for validation and a quarter for test, with at least one slide each from three slides
    on. The others are for training. 12 slides give 7, 2 and 3.
    """
    val = max(1, round(count / 6)) if count > 1 else 0
    test = max(1, round(count / 4)) if count > 2 else 0
    counts: dict[Split, int] = {"train": count - val - test, "val": val, "test": test}
    return [split for split, number in counts.items() for _ in range(number)]


def _check(
    *, slides: int, size_mm: float | tuple[float, float], mpp: float, seed: int, suffix: str
) -> None:
    if slides < 1:
        raise WrongUseError(f"A cohort of {slides} slides is too small. Pass --slides 1 or more.")
    if not 0.1 <= mpp <= 4:
        raise WrongUseError(f"No scanner has {mpp:g} um/px. Pass --mpp 0.1 to 4.")
    low, high = size_mm if isinstance(size_mm, tuple) else (size_mm, size_mm)
    if not 1 <= low <= high <= 100:
        size = f"{low:g} to {high:g}" if isinstance(size_mm, tuple) else f"{low:g}"
        raise WrongUseError(
            f"Slides of {size} mm cannot be made. Pass --size-mm 1 to 100, or a range such as 5-20."
        )
    if seed < 0:
        raise WrongUseError(f"A seed is 0 or a positive integer, not {seed}.")
    if suffix not in get_args(Suffix):
        raise WrongUseError(
            f"'{suffix}' is not a format of generated slides: {', '.join(get_args(Suffix))}."
        )


def _sizes(
    of_splits: Sequence[Split], size_mm: float | tuple[float, float], *, mpp: float, seed: int
) -> list[tuple[int, int]]:
    """(width, height) in pixels of every slide."""
    if not isinstance(size_mm, tuple):
        # The tolerance makes 2.048 mm at 0.2 um/px exactly ten times 1024.
        side = math.ceil(size_mm * 1000 / (mpp * LEAST_SIDE_PX) - 1e-6) * LEAST_SIDE_PX
        shapes = ((1, 1), (1.125, 1), (1, 1.125))
        places = range(len(of_splits))
        turns = [shapes[place // 2 % len(shapes)] for place in places]
        return [(int(side * wide), int(side * high)) for wide, high in turns]
    rng = np.random.default_rng([seed, 0, 1])
    low, high = size_mm
    sizes = []
    for split in dict.fromkeys(of_splits):
        count = of_splits.count(split)
        # One slide in each of ``count`` equal parts of the range.
        for part in rng.permutation(count):
            short = low + (high - low) * (part + rng.random()) / count
            sides = [short, short * rng.uniform(1, LONGEST)]
            rng.shuffle(sides)
            sizes.append(_whole_levels(sides[0], sides[1], mpp))
    return sizes


def _whole_levels(width_mm: float, height_mm: float, mpp: float) -> tuple[int, int]:
    """Sides in pixels, rounded up so that every level has half the size of the previous one."""
    halvings = max(0, math.ceil(math.log2(min(width_mm, height_mm) * 1000 / mpp / LEAST_SIDE_PX)))
    width, height = (
        math.ceil(side * 1000 / mpp / 2**halvings) * 2**halvings for side in (width_mm, height_mm)
    )
    return width, height


def _rows(
    count: int,
    *,
    size_mm: float | tuple[float, float],
    mpp: float,
    seed: int,
    suffix: Suffix,
    anatomy: Anatomy,
) -> list[_Row]:
    """The rows of the cohort.

    Grades alternate, so that every split has them as evenly as possible. Two consecutive slides of
    one grade in one split belong to one patient.
    """
    of_splits = splits(count)
    sizes_px = _sizes(of_splits, size_mm, mpp=mpp, seed=seed)
    rows: list[_Row] = []
    halves: dict[tuple[str, int], str] = {}
    patients = 0
    for number, (split, size_px) in enumerate(zip(of_splits, sizes_px, strict=True)):
        grade = sorted(anatomy.grades)[number % len(anatomy.grades)]
        patient = halves.pop((split, grade), "")
        if not patient:
            patients += 1
            patient = halves[split, grade] = f"P{patients:02d}"
        options = SlideOptions(
            name=f"phantom_{number + 1:02d}",
            number=number,
            seed=seed,
            grade=grade,
            size_px=size_px,
            mpp=mpp,
            suffix=suffix,
            anatomy=anatomy,
            as_scanned=isinstance(size_mm, tuple),
        )
        rows.append(_Row(options, split, patient))
    return rows


def _table(rows: list[_Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("slide", "annotation", "split", "grade", "patient"))
    for row in rows:
        grade = f"grade {row.options.grade}"
        writer.writerow((row.slide, row.annotation, row.split, grade, row.patient))
    return text.getvalue()


def _open_record(out: Path, options: dict[str, Any]) -> dict[str, list[int]]:
    """Sizes in bytes of every finished slide and annotation, from ``phantom.json``."""
    file = out / "phantom.json"
    if not file.exists():
        if (out / "cohort.csv").exists():
            raise WrongUseError(
                f"{out} holds a cohort that was not generated here. Give another folder."
            )
        _write_record(out, options, {})
        return {}
    try:
        record = json.loads(file.read_text("utf-8"))
        recorded, done = record["options"], dict(record["done"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise WrongUseError(
            f"{file}: not the record of a generated cohort. Give another folder."
        ) from error
    wanted = json.loads(json.dumps(options))
    differing = [key for key in wanted if recorded.get(key) != wanted[key]]
    if differing:
        differences = ", ".join(
            key if key == "anatomy" else f"{key} was {recorded.get(key)} and is now {wanted[key]}"
            for key in differing
        )
        raise WrongUseError(
            f"{out} holds another generated cohort ({differences}). Give another folder."
        )
    return done


def _write_record(out: Path, options: dict[str, Any], done: dict[str, list[int]]) -> None:
    record = {"options": options, "done": dict(sorted(done.items()))}
    write_text(out / "phantom.json", json.dumps(record, indent=2) + "\n")


def _is_whole(out: Path, row: _Row, done: dict[str, list[int]]) -> bool:
    files = (out / row.slide, out / row.annotation)
    return row.options.name in done and done[row.options.name] == [
        file.stat().st_size if file.is_file() else -1 for file in files
    ]
