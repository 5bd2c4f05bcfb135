"""Tables of slides as spreadsheet programs save them: CSV of any separator and encoding."""

from __future__ import annotations

import csv
import io
import logging
import math
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from h2g.errors import CohortError
from h2g.recipes.mistakes import nearest
from h2g.texts import same_text

logger = logging.getLogger(__name__)

TABLE_SUFFIXES = {".csv", ".tsv"}
SPREADSHEET_SUFFIXES = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers"}
# The first bytes of ZIP files (.xlsx, .ods, .numbers) and of OLE files (.xls).
SPREADSHEET_STARTS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
# UTF-32 comes first, because its mark begins with that of UTF-16.
ENCODING_BY_MARK = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# What spreadsheet programs of western Europe write unless they are told to write UTF-8.
SPREADSHEET_ENCODING = "cp1252"
# Columns of paths, whose bytes may be those of the disk.
PATHS = ("slide", "annotation")
WINDOWS_ROOT = re.compile(r"[A-Za-z]:[\\/]|\\\\")
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        file: the table.
        line: number of the row's first line in the file, from 1.
        cells: text of each known column, without spaces around it; empty if there is none.
    """

    file: Path
    line: int
    cells: dict[str, str]

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.file}, line {self.line}"

    def text(self, column: str) -> str:
        return _decoded(self.cells.get(column, ""))

    def path(self, column: str, *, data_root: Path | None = None) -> Path:
        """The path in a column, which is relative to the table; it need not exist.

        What is not there is looked for below ``data_root`` by the end of its path, the longest
        first: ``/old/slides/a.svs`` as ``slides/a.svs``, then as ``a.svs``.

        Backslashes separate folders, as on Windows, unless a file has them in its name. Names that
        differ only in the encoding of their letters are the same.

        Raises:
            CohortError: the path begins with the drive of another machine.
        """
        text = self.cells.get(column, "")
        moved = _moved(text, data_root) if data_root else None
        if os.name != "nt" and WINDOWS_ROOT.match(text):
            if moved:
                return moved
            raise CohortError(
                f"{self.place}: the {column} '{self.text(column)}' is on a drive of a Windows "
                "machine. Write its path on this machine, or relative to the table."
            )
        candidates = [self.file.parent / spelling for spelling in _spellings(text)]
        found = next((path for path in candidates if os.path.exists(path)), None)
        return found or moved or candidates[-1]

    def number(self, column: str) -> float | None:
        """The positive number in a column, with a decimal point or comma; None if it is empty.

        Raises:
            CohortError: the text is not a positive number.
        """
        text = self.text(column)
        if not text:
            return None
        value = float(text.replace(",", ".")) if NUMBER.fullmatch(text) else math.nan
        if not (value > 0 and math.isfinite(value)):
            raise CohortError(
                f"{self.place}: {column} '{text}' is not a positive number of um/px, such as 0.25."
            )
        return value


@dataclass(frozen=True)
class SlideTable:
    """The rows of a table that are not blank, and its known columns."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]


def read_table(path: Path, *, required: Sequence[str], optional: Sequence[str]) -> SlideTable:
    """Reads a table; every value stays the text that it is in the file, such as 007 or NA.

    Columns are separated by commas, semicolons or tabs. The encoding is UTF-8, UTF-16 with its mark
    or Windows-1252. Headings are compared without case and spaces. Blank rows and columns are
    skipped. Other columns are ignored, with a warning.

    Raises:
        CohortError: the table cannot be read, has no rows, lacks a required column or has a column
            twice, or a row has more values than there are columns.
    """
    text, known = _text(path), (*required, *optional)
    if not text.strip(' ,;\t\r\n"\ufeff'):
        raise CohortError(f"{path}: the table is empty. Add a header and one row per slide.")
    # A first line by which spreadsheet programs tell each other the separator.
    told = re.match(r'"?sep=([,;\t])"?[,;\t ]*[\r\n]', text, re.IGNORECASE)
    separator = told[1] if told else _separator(text, known)
    records = _records(path, text, separator)
    (_, header), *body = records[1:] if told else records
    columns = _columns(path, header, required, optional)
    rows = []
    for line, cells in body:
        if any(cells[len(header) :]):
            raise CohortError(
                f"{path}, line {line}: this row has {len(cells)} values for {len(header)} columns. "
                f"Write values that hold a {SEPARATORS[separator]} in double quotes."
            )
        values = {name: cells[number] for number, name in columns if number < len(cells)}
        rows.append(TableRow(path, line, values))
    _warn_of_other_columns(path, header, [cells for _, cells in body], known)
    if not rows:
        raise CohortError(f"{path}: the table has no rows. Add one row per slide.")
    others = [name for _, name in columns if name not in PATHS]
    if any(row.text(name) != row.cells.get(name, "") for row in rows for name in others):
        logger.warning(
            "%s: not UTF-8, so it is read as Windows-1252. If letters are wrong, save it as CSV "
            "UTF-8.",
            path,
        )
    return SlideTable(path, tuple(name for _, name in columns), tuple(rows))


def refuse_spreadsheet(path: Path) -> None:
    """Raises CohortError if the file's name is that of a spreadsheet program's own format."""
    if path.suffix.lower() in SPREADSHEET_SUFFIXES:
        raise CohortError(
            f"{path}: this is a spreadsheet. Save its sheet as CSV (CSV UTF-8) and give that file."
        )


def _text(path: Path) -> str:
    """The text of a file; bytes that are not UTF-8 stay in it as surrogates, for each value."""
    refuse_spreadsheet(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CohortError(
            f"{path}: the table cannot be read ({error.strerror}). Give a CSV file."
        ) from error
    if data.startswith(SPREADSHEET_STARTS):
        raise CohortError(
            f"{path}: this is a spreadsheet, whatever its name says. Save its sheet as CSV (CSV "
            "UTF-8) and give that file."
        )
    encoding = next((e for mark, e in ENCODING_BY_MARK.items() if data.startswith(mark)), None)
    try:
        text = data.decode(encoding) if encoding else data.decode("utf-8", "surrogateescape")
    except UnicodeDecodeError as error:
        raise CohortError(
            f"{path}: the table begins like {error.encoding} and is not ({error.reason}). Save it "
            "as CSV UTF-8."
        ) from error
    if "\0" in text:
        raise CohortError(f"{path}: this is not a text file. Save the table as CSV UTF-8.")
    return text


def _decoded(text: str) -> str:
    """The text, where bytes that are not UTF-8 are read as Windows-1252."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(SPREADSHEET_ENCODING, "replace")


def _spellings(text: str) -> Iterator[str]:
    """Ways in which a disk may spell a path; the one that is taken if none exists comes last."""
    decoded = _decoded(text)
    slashes = decoded.replace("\\", "/") if os.name != "nt" else decoded
    yield text  # the bytes of the table, which a file name has if it is not UTF-8 either
    yield decoded
    yield unicodedata.normalize("NFD", slashes)  # as macOS writes names
    yield unicodedata.normalize("NFC", slashes)
    yield slashes


def _moved(text: str, data_root: Path) -> Path | None:
    """The file below a folder that has the longest end of the path; None if there is none."""
    for spelling in _spellings(text):
        parts = [part for part in Path(spelling).parts if part not in ("..", os.sep)]
        for start in range(len(parts)):
            candidate = data_root.joinpath(*parts[start:])
            if os.path.exists(candidate):
                return candidate
    return None


def _separator(text: str, known: Sequence[str]) -> str:
    """The separator that gives the header the most known headings, then the most columns."""

    def fits(separator: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        header = next((cells for cells in reader if any(map(str.strip, cells))), [])
        return len({_heading(cell) for cell in header} & {*known}), len(header)

    return max(SEPARATORS, key=fits)


def _records(path: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """First line and values of each row that is not blank."""
    # With newline="", the lines end as in the file, and the reader counts them.
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    records: list[tuple[int, list[str]]] = []
    line = 1
    while True:
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return records
        except csv.Error as error:
            raise CohortError(
                f"{path}, line {line}: the row cannot be read ({error}). A value in double quotes "
                'needs a quote at both ends, and "" for each quote in it.'
            ) from error
        if any(cells):
            records.append((line, cells))
        line = reader.line_num + 1


def _heading(text: str) -> str:
    return same_text(text.replace("\ufeff", "").strip(" \t\"'"))


def _columns(
    path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str]
) -> list[tuple[int, str]]:
    """Number and name of each known column."""
    names = [_heading(cell) for cell in header]
    columns = [(n, name) for n, name in enumerate(names) if name in (*required, *optional)]
    found = [name for _, name in columns]
    missing = [name for name in required if name not in found]
    if missing:
        others = ", ".join(_decoded(cell) for cell in header if cell)
        raise CohortError(
            f"{path}: no column {', '.join(missing)}; found: {others}. The header must be "
            f"{','.join(required)}[,{','.join(optional)}]."
        )
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise CohortError(
            f"{path}: several columns are headed '{twice[0]}'. Keep one of them, and give the "
            "others another heading."
        )
    return columns


def _warn_of_other_columns(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], known: Sequence[str]
) -> None:
    absent = [name for name in known if name not in map(_heading, header)]
    texts = []
    for number, cell in enumerate(header):
        if _heading(cell) in known:
            continue
        if _heading(cell):
            hint = nearest(_heading(cell), absent)
            texts.append(f"'{_decoded(cell)}'{f' ({hint})' if hint else ''}")
        elif any(row[number] for row in rows if number < len(row)):
            texts.append(f"number {number + 1}, which has no heading")
    if texts:
        columns = f"column{'s' if len(texts) > 1 else ''} {', '.join(texts)}"
        logger.warning("%s: not used: %s.", path, columns)
