from pathlib import Path

import numpy as np
import pytest

from h2g.errors import CohortError
from h2g.folders.cohort import read_cohort, write_cohort
from tests.dicom_slides import write_dicom_slide

HEADER = "slide,annotation,split,grade,patient,mpp"


@pytest.fixture
def table(tmp_path: Path):
    for name in ("a.svs", "b.svs", "a.geojson", "b.geojson"):
        (tmp_path / name).touch()

    def write(*rows: str, header: str = HEADER) -> Path:
        path = tmp_path / "cohort.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


def test_rows_become_slides(table):
    path = table("a.svs,a.geojson,train,2,p1,0.25", "b.svs,b.geojson,Test,,,")
    first, second = read_cohort(path).slides
    assert (first.name, first.split, first.grade, first.patient) == ("a", "train", "2", "p1")
    assert first.mpp == 0.25
    assert first.slide == path.parent / "a.svs"
    assert (second.split, second.grade, second.patient, second.mpp) == ("test", "all", None, None)


def test_files_need_not_exist_if_only_the_table_is_read(table):
    path = table("moved.svs,moved.geojson,train,2,p1,")
    (slide,) = read_cohort(path, files_must_exist=False).slides
    assert (slide.name, slide.grade) == ("moved", "2")
    with pytest.raises(CohortError, match="'moved.svs' does not exist"):
        read_cohort(path)


def test_optional_columns_may_be_absent(table):
    (slide,) = read_cohort(table("a.svs,a.geojson,val", header="slide,annotation,split")).slides
    assert (slide.grade, slide.patient, slide.mpp) == ("all", None, None)


def test_written_table_reads_back_from_anywhere(table, tmp_path):
    cohort = read_cohort(table("a.svs,a.geojson,train,2,p1,0.25", "b.svs,b.geojson,test,,,"))
    copy = tmp_path / "elsewhere" / "cohort.csv"
    copy.parent.mkdir()
    write_cohort(cohort, copy)
    assert read_cohort(copy).slides == cohort.slides


@pytest.mark.parametrize(
    ("rows", "header", "sentence"),
    [
        ([], HEADER, "has no rows"),
        (["a.svs,train"], "slide,split", "no column annotation"),
        (["a.svs,a.geojson,training,,,"], HEADER, "split 'training' is not one of train, val"),
        (["c.svs,a.geojson,train,,,"], HEADER, "line 2: the slide 'c.svs' does not exist"),
        ([",a.geojson,train,,,"], HEADER, "line 2: the slide is missing"),
        (["a.svs,a.geojson,train,,,zero"], HEADER, "mpp 'zero' is not a positive number"),
        (["a.svs,a.geojson,train,,,0"], HEADER, "mpp '0' is not a positive number"),
        (["a.svs,a.geojson,train,,,", "a.svs,b.geojson,val,,,"], HEADER, "two slides are named"),
        (
            ["a.svs,a.geojson,train,,p1,", "b.svs,b.geojson,test,,p1,"],
            HEADER,
            r"patient 'p1' has slides in both 'train' \(line 2\) and 'test' \(line 3",
        ),
    ],
)
def test_wrong_tables_are_reported(table, rows, header, sentence):
    with pytest.raises(CohortError, match=sentence):
        read_cohort(table(*rows, header=header))


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(CohortError, match="cannot be read"):
        read_cohort(tmp_path / "none.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(CohortError, match="is empty"):
        read_cohort(tmp_path / "empty.csv")


def test_links_keep_their_names(table, tmp_path):
    """Caches of data sets link names to files that are named after their contents."""
    for link, file in (("one.svs", "a.svs"), ("one.geojson", "a.geojson")):
        (tmp_path / link).symlink_to(tmp_path / file)
    cohort = read_cohort(table("one.svs,one.geojson,train,,,"))
    written = tmp_path / "run" / "cohort.csv"
    written.parent.mkdir()
    write_cohort(cohort, written)
    (slide,) = read_cohort(written).slides
    assert (slide.name, slide.slide, slide.annotation.name) == (
        "one",
        tmp_path / "one.svs",
        "one.geojson",
    )


def test_one_slide_in_two_rows_is_refused(table, tmp_path: Path) -> None:
    (tmp_path / "link.svs").symlink_to("a.svs")
    path = table("a.svs,a.geojson,train,,,", "link.svs,b.geojson,val,,,")
    with pytest.raises(CohortError, match="a.svs and .*link.svs are one slide: links to one file"):
        read_cohort(path)
    files = [tmp_path / "1.dcm", tmp_path / "2.dcm"]
    write_dicom_slide(files, np.full((64, 64, 3), 200, np.uint8), mpp=0.5)
    path = table("1.dcm,a.geojson,train,,,", "2.dcm,b.geojson,val,,,")
    with pytest.raises(CohortError, match="1.dcm and .*2.dcm are one slide.* Keep one row"):
        read_cohort(path)
