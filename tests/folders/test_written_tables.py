"""Whatever way a spreadsheet program saves a cohort, it is read as the same cohort."""

from __future__ import annotations

import csv
import io
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from h2g.folders.cohort import SPLITS, CohortSlide, read_cohort

COLUMNS = ["slide", "annotation", "split", "grade", "patient", "mpp"]
# Letters of Windows-1252, and what separates columns and paths.
names = st.text("abcxyz019 äß,;'#[]=+-", min_size=1, max_size=8).map(str.strip).filter(bool)


@st.composite
def cohorts(draw: st.DrawFn) -> list[CohortSlide]:
    count = draw(st.integers(1, 5))
    slides = draw(st.lists(names, min_size=count, max_size=count, unique_by=str.casefold))
    grade = st.sampled_from(["1", "007", "NA", "2.0", "grade II", "Ä"])
    mpp = st.sampled_from([None, 0.25, 0.5, 1e-1, 20])
    return [
        CohortSlide(
            name=name,
            slide=Path("deep", "slides", f"{name}.svs"),
            annotation=Path("deep", f"{name}.geojson"),
            split=draw(st.sampled_from(SPLITS)),
            grade=draw(grade),
            patient=f"p {number}",
            mpp=draw(mpp),
        )
        for number, name in enumerate(slides)
    ]


def row_of(slide: CohortSlide, rng: random.Random, *, comma: bool) -> dict[str, str]:
    mpp = "" if slide.mpp is None else f"{slide.mpp:g}"
    backslashes = rng.random() < 0.3
    paths = [
        str(path).replace("/", "\\") if backslashes else str(path)
        for path in (slide.slide, slide.annotation)
    ]
    return {
        "slide": paths[0],
        "annotation": paths[1],
        "split": rng.choice([slide.split, slide.split.upper(), f" {slide.split} "]),
        "grade": slide.grade,
        "patient": slide.patient or "",
        "mpp": mpp.replace(".", ",") if comma else mpp,
    }


def written(slides: list[CohortSlide], rng: random.Random) -> bytes:
    """The table in one of the ways of spreadsheet programs."""
    separator = rng.choice([",", ";", "\t"])
    comma = separator != "," and rng.random() < 0.5
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    end = rng.choice(["\n", "\r\n"])
    columns = rng.sample(COLUMNS, len(COLUMNS))
    rows = [[row_of(slide, rng, comma=comma)[name] for name in columns] for slide in slides]
    header = [rng.choice([name, name.title(), f" {name.upper()} "]) for name in columns]
    if rng.random() < 0.3:  # blank columns at the right
        header, rows = [*header, "", ""], [[*row, "", ""] for row in rows]
    if rng.random() < 0.3:  # blank rows between the rows
        rows = [each for row in rows for each in (row, [""] * len(header))]
    stream = io.StringIO(newline="")
    if rng.random() < 0.2:
        stream.write(f"sep={separator}{end}")
    csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting).writerows(
        [header, *rows]
    )
    text = stream.getvalue()
    if rng.random() < 0.3:
        text = text.removesuffix(end)
    return text.encode(rng.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))


@settings(max_examples=150, deadline=None)
@given(cohorts(), st.randoms(use_true_random=False))
def test_a_cohort_comes_back(slides: list[CohortSlide], rng: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "deep" / "slides").mkdir(parents=True)
        for slide in slides:
            for file in (slide.slide, slide.annotation):
                (root / file).touch()
        table = root / "cohort.csv"
        table.write_bytes(written(slides, rng))
        found = read_cohort(table).slides
        right = [
            CohortSlide(
                **{
                    **vars(slide),
                    "slide": root / slide.slide,
                    "annotation": root / slide.annotation,
                }
            )
            for slide in slides
        ]
        assert list(found) == right
