"""The cohort on disk: splits, resuming, refusing, and the same bytes however it was made."""

import csv
import hashlib
from pathlib import Path

import pytest

from h2g.errors import WrongUseError
from h2g.folders.cohort import SPLITS, read_cohort
from h2g.phantom import generate_cohort
from h2g.phantom.anatomy import Anatomy
from h2g.phantom.cohort import splits
from h2g.phantom.slide import SlideOptions, make_slide

SMALL = {"slides": 2, "size_mm": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def small_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small")
    generate_cohort(out, **SMALL)
    return out


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_cohort_is_one_that_h2g_reads(phantom_cohort: Path) -> None:
    cohort = read_cohort(phantom_cohort)
    assert [len(cohort.split(split)) for split in SPLITS] == [3, 1, 2]
    assert {slide.grade for slide in cohort.slides} == {"grade 1", "grade 2", "grade 3"}
    assert all(slide.patient for slide in cohort.slides)


def test_paths_in_the_table_are_relative(phantom_cohort: Path) -> None:
    with phantom_cohort.open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["slide"] == "slides/phantom_01.svs"
    assert rows[0]["annotation"] == "annotations/phantom_01.geojson"


def test_splits_of_twelve() -> None:
    assert splits(12) == ["train"] * 7 + ["val"] * 2 + ["test"] * 3


@pytest.mark.parametrize("count", [3, 4, 5, 8, 20, 100])
def test_every_split_has_slides_and_training_the_most(count: int) -> None:
    counts = [splits(count).count(split) for split in SPLITS]
    assert sum(counts) == count
    assert min(counts) >= 1
    assert counts[0] >= counts[2] >= counts[1]


def test_one_and_two_slides() -> None:
    assert splits(1) == ["train"]
    assert splits(2) == ["train", "val"]


def test_bytes_do_not_depend_on_jobs(small_cohort: Path, tmp_path: Path) -> None:
    # Two processes of two threads each.
    generate_cohort(tmp_path, **SMALL, jobs=4)
    assert digests(tmp_path) == digests(small_cohort)


def test_another_seed_gives_other_slides(small_cohort: Path, tmp_path: Path) -> None:
    generate_cohort(tmp_path, **{**SMALL, "slides": 1, "seed": 4})
    name = "slides/phantom_01.svs"
    assert digests(tmp_path)[name] != digests(small_cohort)[name]


def test_rerun_makes_only_what_is_missing_or_cut(tmp_path: Path) -> None:
    generate_cohort(tmp_path, **SMALL)
    before = digests(tmp_path)
    kept, cut = (tmp_path / "slides" / f"phantom_0{number}.svs" for number in (1, 2))
    kept_since = kept.stat().st_mtime_ns
    cut.write_bytes(cut.read_bytes()[:1000])
    (tmp_path / "slides" / ".phantom_02.4711.svs").write_bytes(b"half")  # of a killed run
    generate_cohort(tmp_path, **SMALL)
    assert digests(tmp_path) == before
    assert kept.stat().st_mtime_ns == kept_since


def test_folder_of_another_seed_is_refused_and_kept(small_cohort: Path) -> None:
    before = digests(small_cohort)
    with pytest.raises(WrongUseError, match="seed was 3 and is now 4.*another folder"):
        generate_cohort(small_cohort, **{**SMALL, "seed": 4})
    assert digests(small_cohort) == before


def test_cohort_of_the_users_own_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("slide,annotation,split\n")
    with pytest.raises(WrongUseError, match="not generated here"):
        generate_cohort(tmp_path, **SMALL)
    assert (tmp_path / "cohort.csv").read_text() == "slide,annotation,split\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"slides": 0}, "--slides"),
        ({"mpp": 9.0}, "--mpp"),
        ({"size_mm": 0.2}, "--size-mm"),
        ({"seed": -1}, "not -1"),
        ({"suffix": "png"}, "svs, tiff"),
    ],
)
def test_options_that_make_no_slides(options: dict, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match=sentence):
        generate_cohort(tmp_path / "out", **{**SMALL, **options})
    assert not (tmp_path / "out").exists()


def test_a_stopped_slide_leaves_no_partial_file(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(share: float) -> None:
        if share > 0:
            raise Stopped

    options = SlideOptions("cut", 0, 0, 2, (1024, 1024), 1.0, "svs", Anatomy())
    slide = tmp_path / "slides" / "cut.svs"
    with pytest.raises(Stopped):
        make_slide(options, slide=slide, annotation=tmp_path / "cut.geojson", on_band=stop)
    assert list(slide.parent.iterdir()) == []
