from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from h2g.errors import WrongUseError
from h2g.folders.predictions import SlideRequest
from h2g.slides.find_slides import find_slides
from h2g.slides.slide import describe_slide
from h2g.slides.tiff_files import write_pyramid
from tests.dicom_slides import write_dicom_slide
from tests.odd_slides import write_odd_slide


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Two slides and a plain image in a folder of its own, with files that are no slides."""
    folder = tmp_path / "slides of March"
    for name in ("b.svs", "a.tiff", "deep/ç", "out/heat.tiff"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_odd_slide(folder / name, size_px=(300, 260), downsamples=(), objective=20, mpp=0.5)
    for name in ("notes.txt", "._a.tiff"):
        (folder / name).write_text("no slide")
    return folder


def test_a_folder_is_searched_with_its_folders_but_not_the_output(slides: Path) -> None:
    found = find_slides([slides], mpp=0.5, apart_from=slides / "out")
    assert [(r.name, r.mpp) for r in found] == [("a", 0.5), ("b", 0.5), ("ç", 0.5)]


def save_picture(path: Path, *, mode: str = "RGB") -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, (64, 48), 1).save(path)
    return path


def test_pictures_and_masks_beside_slides_are_left_out_and_named(
    slides: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_picture(slides / "a.jpg")
    mask = np.zeros((512, 512), np.uint8)
    (slides / "masks").mkdir()
    write_pyramid(slides / "masks" / "b_mask.tif", mask, mpp=0.5, tile_px=256)
    found = find_slides([slides], apart_from=slides / "out")
    assert [r.name for r in found] == ["a", "b", "ç"]
    assert "pictures beside slides are left out: 2 (a.jpg, masks/b_mask.tif)" in caplog.text
    assert [r.name for r in find_slides([slides / "a.jpg"])] == ["a"]  # a file named is taken


def test_pictures_alone_are_the_slides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("x.png", "y.JPG", "z.tif"):
        save_picture(tmp_path / name)
    (tmp_path / "notes.png.txt").write_text("no picture")
    assert [r.path.name for r in find_slides([tmp_path])] == ["x.png", "y.JPG", "z.tif"]
    assert not caplog.text


def test_a_slide_named_twice_is_taken_once(slides: Path) -> None:
    found = find_slides([slides / "b.svs", slides, slides / "deep" / ".." / "b.svs"])
    assert sorted(r.name for r in found) == ["a", "b", "heat", "ç"]


def test_a_file_of_any_suffix_is_a_slide(slides: Path) -> None:
    assert find_slides([slides / "notes.txt"]) == (SlideRequest(slides / "notes.txt"),)


def test_two_slides_of_one_name_are_refused(slides: Path) -> None:
    (slides / "b.svs").rename(slides / "deep" / "a.svs")
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
        "deep/ç,c.geojson,Test,\n",
    )
    found = find_slides([table], split="test", mpp=0.5)
    assert found == (
        SlideRequest(slides / "b.svs", 0.25),  # its row says more than --mpp
        SlideRequest(slides / "deep/ç", 0.5),
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
    table.write_bytes("Slide\tMPP\r\n\r\ndeep\\ç\t0,25\r\n".encode("utf-16"))
    assert find_slides([table]) == (SlideRequest(slides / "deep/ç", 0.25),)


def test_split_without_a_table(slides: Path) -> None:
    with pytest.raises(WrongUseError, match="--split needs a table"):
        find_slides([slides], split="test")


def test_colours_in_planes_are_no_mask(slides: Path) -> None:
    tifffile.imwrite(slides / "x.tif", np.zeros((3, 64, 64), np.uint8), photometric="minisblack")
    found = find_slides([slides], apart_from=slides / "out")
    assert [r.name for r in found] == ["a", "b", "ç", "x"]


def test_damaged_slides_count_as_slides_so_that_the_damage_is_reported(slides: Path) -> None:
    for name in ("x.ndpi", "y.tif"):
        (slides / name).write_bytes(b"II*\0 and no more")
    found = find_slides([slides], apart_from=slides / "out")
    assert [r.path.name for r in found] == ["a.tiff", "b.svs", "ç", "x.ndpi", "y.tif"]


@pytest.fixture
def series(tmp_path: Path) -> list[Path]:
    """Two levels of one DICOM slide, and the one level of another."""
    rgb = np.kron(np.arange(30, dtype=np.uint8).reshape(5, 6, 1), np.ones((32, 32, 3), np.uint8))
    files = [tmp_path / "dicom" / f"{number}.dcm" for number in (1, 2, 3)]
    files[0].parent.mkdir()
    write_dicom_slide(files[:2], rgb, mpp=0.5)
    write_dicom_slide(files[2:], rgb, mpp=0.25)
    return files


def test_a_dicom_series_is_one_slide_however_it_is_named(series: list[Path]) -> None:
    assert len(describe_slide(series[1]).levels) == 2
    for places in ([series[0].parent], series, [series[0].parent, *series]):
        assert [r.name for r in find_slides(places)] == ["1", "3"]
    assert [r.name for r in find_slides(series[1:])] == ["2", "3"]
    no_suffix = series[0].rename(series[0].with_suffix(""))
    assert [r.path for r in find_slides([series[0].parent])] == [no_suffix, series[2]]


def test_a_file_that_is_no_dicom_has_no_series(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("no DICOM")
    (tmp_path / "b.dcm").write_text("no DICOM")
    assert [r.name for r in find_slides([tmp_path])] == ["a", "b"]
