"""Tables as spreadsheet programs save them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from h2g.errors import CohortError
from h2g.folders.cohort import CohortSlide, read_cohort, write_cohort
from h2g.folders.table_files import read_table

HEADER = "slide,annotation,split,grade,patient,mpp"
ROWS = ("a.svs,a.geojson,train,2,007,", "b.svs,b.geojson,val,1e5,NA,0.25")
TEXT = "\n".join([HEADER, *ROWS]) + "\n"

UTF8_VARIANTS = {
    "comma": TEXT,
    "semicolon": TEXT.replace(",", ";").replace("0.25", "0,25"),
    "tabs": TEXT.replace(",", "\t").replace("0.25", "0,25"),
    "BOM and CRLF": "\ufeff" + TEXT.replace(",", ";").replace("\n", "\r\n"),
    "CR": TEXT.replace("\n", "\r"),
    "no line end": TEXT.strip(),
    "separator told": "sep=;\r\n" + TEXT.replace(",", ";"),
    "blank rows": "\n , \n" + TEXT.replace("\n", "\n\n,,,,,\n") + ",,,,,\n\n",
    "capitals": TEXT.replace(HEADER, "Slide,ANNOTATION,Split,Grade,Patient,MPP"),
    "spaces": TEXT.replace(",", " , ").replace("slide ", "  slide\u00a0", 1),
    "quotes": "\n".join(
        ",".join(f'"{cell}"' for cell in row.split(",")) for row in (HEADER, *ROWS)
    ),
    "single quotes in the heading": TEXT.replace("slide", "'slide'", 1),
    "empty columns": TEXT.replace("\n", ",,\n"),
    "more empty cells than columns": TEXT.replace("train,2,007,", "train,2,007,,,,"),
    "a short row": TEXT.replace("train,2,007,", "train,2,007"),
    "backslash": TEXT.replace("a.geojson", ".\\a.geojson"),
    "decimal comma": TEXT.replace("0.25", '"0,25"'),
    "another order": "mpp,split,slide,patient,annotation,grade\n"
    ",train,a.svs,007,a.geojson,2\n0.25,val,b.svs,NA,b.geojson,1e5\n",
    "splits in capitals": TEXT.replace("train", "Train").replace("val", " VAL"),
}
VARIANTS = {name: text.encode() for name, text in UTF8_VARIANTS.items()} | {
    encoding: text.encode(encoding)
    for encoding in ("utf-8-sig", "utf-16", "utf-32")
    for text in (TEXT.replace(",", "\t"),)
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.svs", "b.svs", "a.geojson", "b.geojson"):
        (tmp_path / name).touch()
    return tmp_path


def cohort(folder: Path, table: str | bytes, **options: bool) -> tuple[CohortSlide, ...]:
    path = folder / "cohort.csv"
    path.write_bytes(table.encode() if isinstance(table, str) else table)
    return read_cohort(path, **options).slides


@pytest.mark.parametrize("name", VARIANTS)
def test_all_variants_give_the_same_cohort(
    folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = cohort(folder, VARIANTS[name])
    assert os.path.samefile(first.annotation, folder / "a.geojson")
    assert (first.name, first.split, first.grade, first.patient) == ("a", "train", "2", "007")
    assert first.mpp is None
    assert (second.name, second.split, second.grade, second.patient) == ("b", "val", "1e5", "NA")
    assert (second.slide, second.mpp) == (folder / "b.svs", 0.25)
    assert not caplog.records


def test_values_stay_texts(folder: Path) -> None:
    table = "slide,annotation,split,grade\na.svs,a.geojson,train,TRUE\nb.svs,b.geojson,val,2.0\n"
    assert [slide.grade for slide in cohort(folder, table)] == ["TRUE", "2.0"]


def test_windows_1252_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = cohort(folder, TEXT.replace("007", "Grün").encode("cp1252"))
    assert first.patient == "Grün"
    assert "cohort.csv: not UTF-8, so it is read as Windows-1252" in caplog.text


def test_files_are_found_by_their_bytes_and_by_their_letters(folder: Path) -> None:
    latin = os.fsdecode("grün.svs".encode("latin-1"))  # a name from an old disk
    (folder / latin).touch()
    (folder / "brau\u0308n.svs").touch()  # as macOS writes it
    table = "slide,annotation,split\ngrün.svs,a.geojson,train\nbra\u00fcn.svs,b.geojson,val\n"
    first, second = cohort(folder, table.encode("cp1252"))
    assert first.slide.exists()
    assert second.slide.exists()
    (folder / "run").mkdir()
    copy = folder / "run" / "cohort.csv"
    write_cohort(read_cohort(folder / "cohort.csv"), copy)
    assert [slide.slide for slide in read_cohort(copy).slides] == [first.slide, second.slide]


def test_a_backslash_may_be_part_of_a_name(folder: Path) -> None:
    (folder / "odd\\a.svs").touch()
    first, _ = cohort(folder, TEXT.replace("a.svs", "odd\\a.svs"))
    assert first.slide == folder / "odd\\a.svs"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (HEADER + "\n\n\n" + ROWS[0] + "\nnope.svs,b.geojson,val,,,\n", "line 5: .* 'nope.svs'"),
        (HEADER + '\n"a.svs","a\n.geojson",train\nb.svs,,val\n', "line 2: .*does not exist"),
        (TEXT.replace("b.svs", "\nb.svs").replace("val", "vat"), "line 4: split 'vat' is not"),
        (TEXT.replace("a.svs", "D:\\scans\\a.svs"), "line 2: .*a drive of a Windows machine"),
        (TEXT.replace("a.svs", "\\\\server\\a.svs"), "line 2: .*a drive of a Windows machine"),
        (TEXT.replace("0.25", "0,25"), "line 3: this row has 7 values for 6 columns.*a comma in"),
        (TEXT.replace("0.25", "1_0"), "line 3: mpp '1_0' is not a positive number"),
        (TEXT.replace("0.25", "0.25 um"), "line 3: mpp '0.25 um' is not a positive number"),
        (TEXT.replace("val,", 'val,"'), "line 3: the row cannot be read .*needs a quote at both"),
        (TEXT.replace("patient", "Slide "), "several columns are headed 'slide'"),
        (TEXT.replace("split", "set"), "no column split; found: slide, annotation, set, grade"),
        ("a.svs;a.geojson;train\n", "no column slide, annotation, split; found: a.svs, a.geo"),
        ("\n;;\n", "the table is empty. Add a header"),
        (HEADER + "\n,,,,,\n", "the table has no rows"),
        (b"PK\x03\x04\x14", "a spreadsheet, whatever its name says. Save"),
        (b"\xff\xfes", "begins like utf-16.* Save it as CSV UTF-8"),
        (TEXT.encode("utf-16-le"), "not a text file. Save the table as CSV UTF-8"),
        (TEXT.replace("a.svs", "a" * 5000), "line 2: the slide 'aaa.* does not exist"),
    ],
)
def test_wrong_tables_are_reported_with_their_line(
    folder: Path, table: str | bytes, sentence: str
) -> None:
    with pytest.raises(CohortError, match=f"(?s)cohort.csv.*{sentence}"):
        cohort(folder, table)


def test_a_spreadsheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="cohort.xlsx: this is a spreadsheet. Save its sheet as"):
        read_cohort(tmp_path / "cohort.xlsx")


def test_other_columns_are_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = ",slide,annotation,split,Patinet,notes\n0,a.svs,a.geojson,train,P1,40\n"
    (slide,) = cohort(folder, table)
    assert slide.patient is None
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "cohort.csv: not used: columns number 1, which has no heading, 'Patinet' (did you mean "
        "'patient'?), 'notes'."
    )


@pytest.mark.parametrize("spelling", ["p 1", " P  1 ", "\uff30 \uff11", "P\u00a01"])
def test_a_patient_in_two_splits_under_two_spellings(folder: Path, spelling: str) -> None:
    table = TEXT.replace("007", "P 1").replace("NA", spelling)
    with pytest.raises(CohortError, match=r"'P 1' has .*'train' \(line 2\) and 'val' \(line 3, w"):
        cohort(folder, table)
    first, second = cohort(folder, table.replace("val", "train"))
    assert first.patient == second.patient == "P 1"


def test_composed_and_decomposed_letters_are_the_same_patient(folder: Path) -> None:
    table = TEXT.replace("007", "Gr\u00fcn").replace("NA", "Gru\u0308n")
    with pytest.raises(CohortError, match="has slides in both 'train'"):
        cohort(folder, table)


def test_rows_and_columns_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Slide;x\n\na;1\n")
    table = read_table(tmp_path / "t.csv", required=("slide",), optional=("mpp",))
    assert table.columns == ("slide",)
    (row,) = table.rows
    assert (row.line, row.text("slide"), row.text("mpp"), row.number("mpp")) == (3, "a", "", None)
