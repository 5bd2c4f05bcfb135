from __future__ import annotations

from pathlib import Path

import pytest

from h2g.errors import WrongUseError
from h2g.folders.predictions import SlideRequest
from h2g.slides.find_slides import find_slides


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    folder = tmp_path / "slides of March"
    for name in ("b.svs", "a.tiff", "deep/ç.ndpi", "notes.txt", "._a.tiff", "out/heat.tiff"):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def test_a_folder_is_searched_with_its_folders_but_not_the_output(slides: Path) -> None:
    found = find_slides([slides], mpp=0.5, apart_from=slides / "out")
    assert [(r.name, r.mpp) for r in found] == [("a", 0.5), ("b", 0.5), ("ç", 0.5)]


def test_a_slide_named_twice_is_taken_once(slides: Path) -> None:
    found = find_slides([slides / "b.svs", slides, slides / "deep" / ".." / "b.svs"])
    assert sorted(r.name for r in found) == ["a", "b", "heat", "ç"]


def test_a_file_of_any_suffix_is_a_slide(slides: Path) -> None:
    assert find_slides([slides / "notes.txt"]) == (SlideRequest(slides / "notes.txt"),)


def test_two_slides_of_one_name_are_refused(slides: Path) -> None:
    (slides / "deep" / "a.svs").touch()
    with pytest.raises(WrongUseError, match="Two slides are named 'a'.*[Rr]ename one"):
        find_slides([slides])


def test_a_missing_place_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match="none.svs: no such file or folder"):
        find_slides([tmp_path / "none.svs"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongUseError, match="no slide in this folder"):
        find_slides([tmp_path / "empty"])


def write_table(folder: Path, text: str) -> Path:
    path = folder / "cohort.csv"
    path.write_text(text)
    return path


def test_a_cohort_table_with_split_and_mpp(slides: Path) -> None:
    table = write_table(
        slides,
        "slide,annotation,split,mpp\nb.svs,b.geojson,test,0.25\na.tiff,a.geojson,train,\n"
        "deep/ç.ndpi,c.geojson,Test,\n",
    )
    found = find_slides([table], split="test", mpp=0.5)
    assert found == (
        SlideRequest(slides / "b.svs", 0.25),  # its row says more than --mpp
        SlideRequest(slides / "deep/ç.ndpi", 0.5),
    )
    assert len(find_slides([table])) == 3


def test_a_table_of_slides_alone_whose_files_need_not_exist(slides: Path) -> None:
    table = write_table(slides, "slide\nb.svs\ngone.svs\n")
    assert [r.path.name for r in find_slides([table])] == ["b.svs", "gone.svs"]


@pytest.mark.parametrize(
    ("text", "split", "sentence"),
    [
        ("", None, "is empty"),
        ("file\na.svs\n", None, "no column slide"),
        ("slide\na.svs\n", "test", "no column split"),
        ("slide,split\na.svs,train\n", "test", "no slides of split test"),
        ("slide\n", None, "has no rows"),
        ("slide,mpp\na.svs,0.25\nb.svs,fine\n", None, "line 3: mpp 'fine' is not a positive"),
        ("slide,mpp\na.svs,-1\n", None, "line 2: mpp '-1' is not a positive"),
        ("slide,mpp\n  ,1\n", None, "line 2: the slide is missing"),
    ],
)
def test_invalid_tables_are_refused(
    tmp_path: Path, text: str, split: str | None, sentence: str
) -> None:
    with pytest.raises(WrongUseError, match=sentence):
        find_slides([write_table(tmp_path, text)], split=split)


def test_a_spreadsheet_is_refused_and_its_text_is_read(slides: Path) -> None:
    (slides / "slides.xlsx").touch()
    with pytest.raises(WrongUseError, match="a spreadsheet. Save its sheet as CSV"):
        find_slides([slides / "slides.xlsx"])
    table = slides / "slides.tsv"
    table.write_bytes("Slide\tMPP\r\n\r\ndeep\\ç.ndpi\t0,25\r\n".encode("utf-16"))
    assert find_slides([table]) == (SlideRequest(slides / "deep/ç.ndpi", 0.25),)


def test_split_without_a_table(slides: Path) -> None:
    with pytest.raises(WrongUseError, match="--split needs a table"):
        find_slides([slides], split="test")


def test_one_file_of_each_dicom_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = {"1.dcm": "s1", "2.dcm": "s1", "3.dcm": "s2", "4.dcm": None, "5.dcm": None}
    for name in series:
        (tmp_path / name).touch()
    monkeypatch.setattr("h2g.slides.find_slides._dicom_series", lambda file: series[file.name])
    assert [r.name for r in find_slides([tmp_path])] == ["1", "3", "4", "5"]


def test_a_file_that_is_no_dicom_has_no_series(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("no DICOM")
    (tmp_path / "b.dcm").write_text("no DICOM")
    assert [r.name for r in find_slides([tmp_path])] == ["a", "b"]
