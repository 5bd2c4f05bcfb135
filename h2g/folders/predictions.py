"""Prediction folders: the predictions of one model, with a summary.

summary.csv, run.json, and one folder per output (h2g.results.outputs), e.g. heatmaps/<slide>.tiff
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from h2g.errors import RunError
from h2g.files import absolute, file_sha256, replacing, write_text
from h2g.folders.run import is_run, provenance
from h2g.texts import name_of_slide, parted, printable

TEXT_COLUMNS = ("slide", "status", "reason", "warnings", "mpp_source", "regions", "file", "outputs")
# Areas are measured on the level-0 field. "tumour" is every class but background; tumour_percent is
# its share of the tissue. Each network adds a column of seconds. If there are several tumour
# classes, each adds a column of its area.
COLUMNS = (
    "slide",
    "status",  # ok or failed
    "reason",
    "warnings",  # problems of the slide that did not stop it, separated by ;
    "mpp",
    "mpp_source",
    "tissue_mm2",
    "tumour_mm2",
    "tumour_percent",
    "patches",
    "seconds_tissue",
    "seconds_read",  # summed over all reading threads
    "seconds_writing",
    "seconds_total",
    "file",
    "outputs",  # paths in this folder, separated by ; and in quotes if they hold one
)
Row = dict[str, Any]
COUNTS = ("patches", "patches_classified")
# Facts that older folders do not record.
UNRECORDED = {"patches": "all"}


@dataclass(frozen=True)
class SlideRequest:
    """A slide to predict.

    Attributes:
        mpp: um/px of level 0; overrides the slide's own.
        regions: the file of the outlines inside which it is predicted; None predicts all of it.
    """

    path: Path
    mpp: float | None = None
    regions: Path | None = None

    @property
    def name(self) -> str:
        """Name of the slide and of all its outputs."""
        return name_of_slide(self.path)

    @property
    def regions_text(self) -> str:
        """The file of the outlines and its checksum, for summary.csv; empty if there are none."""
        if self.regions is None:
            return ""
        return f"{printable(str(absolute(self.regions)))} {file_sha256(self.regions)[:16]}"


class Identity(Protocol):
    """The facts of a model that a prediction folder needs."""

    @property
    def path(self) -> Path: ...

    @property
    def identity(self) -> dict[str, Any]:
        """Facts that must be equal for all predictions in one folder."""


class PredictionFolder:
    """A folder of one model's predictions; a slide's row is recorded after its files."""

    def __init__(self, path: Path, rows: Sequence[Row]) -> None:
        self.path = path
        self._rows = {row["slide"]: row for row in rows}

    def is_done(self, request: SlideRequest) -> bool:
        """Whether the slide was predicted as requested and all its files exist."""
        row = self._rows.get(request.name)
        if row is None or row["status"] != "ok":
            return False
        if not all(file.is_file() for file in self._outputs(request.name)):
            return False
        if (row.get("regions") or "") != request.regions_text:
            return False
        if request.mpp is None:
            return row["mpp_source"] != "given"
        return row["mpp_source"] == "given" and math.isclose(row["mpp"], request.mpp, rel_tol=1e-6)

    def refuse_other_slides(self, requests: Sequence[SlideRequest]) -> None:
        """RunError if the folder holds another slide with the name of a requested one."""
        for request in requests:
            row = self._rows.get(request.name)
            file = printable(str(absolute(request.path)))
            if row and row["status"] == "ok" and row["file"] != file:
                raise RunError(
                    f"{self.path}: holds another slide named '{request.name}' ({row['file']}), "
                    f"which {request.path} would replace. Give another --out."
                )

    def record(self, row: Row) -> None:
        """Adds or replaces a slide's row and writes summary.csv."""
        self._rows[row["slide"]] = row
        rows = self.summary()
        with (
            replacing(self.path / "summary.csv") as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
        ):
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def summary(self) -> list[Row]:
        """One row per slide, in the order of their first requests.

        All rows have the same columns: COLUMNS, then those of networks and classes. A missing value
        is None.
        """
        columns = dict.fromkeys([*COLUMNS, *(key for row in self._rows.values() for key in row)])
        return [{key: _without_nan(row.get(key)) for key in columns} for row in self._rows.values()]

    def _outputs(self, name: str) -> list[Path]:
        outputs = self._rows.get(name, {}).get("outputs") or ""
        return [self.path / output for output in parted(outputs, ";")]

    def note_run(self, model: Identity, **facts: Any) -> None:
        """Records the current run in run.json; earlier runs stay listed.

        Args:
            facts: facts of the run, such as engine, device and precision.
        """
        record = _read_record(self.path)
        earlier = record.pop("earlier", [])
        if "engine" in record:
            names = ("command", "started", "versions", "engine", "device", "precision", "model")
            earlier.append({key: record[key] for key in names if key in record})
        record = {**_claim(model), **facts, "earlier": earlier}
        _write_record(self.path, record)


def open_folder(path: Path, model: Identity) -> PredictionFolder:
    """Opens or creates the folder for predictions of ``model``.

    Raises:
        RunError: it is no prediction folder, or holds another model's predictions.
    """
    if is_run(path):
        raise RunError(f"{path}: this is a run folder. Give another --out.")
    record = _read_record(path)
    if not record or _is_claimed_only(path):
        path.mkdir(parents=True, exist_ok=True)
        _write_record(path, _claim(model))
        return PredictionFolder(path, [])
    recorded = {**UNRECORDED, **record}
    differing = [key for key, value in model.identity.items() if recorded.get(key) != value]
    if differing:
        raise RunError(
            f"{path}: holds predictions of another model (other {', '.join(differing)}). "
            "Give another --out, or remove that folder."
        )
    return PredictionFolder(path, _read_rows(path / "summary.csv"))


def _is_claimed_only(path: Path) -> bool:
    """Whether it holds no predictions yet, so that another model may take it."""
    return [file.name for file in path.iterdir()] == ["run.json"]


def _claim(model: Identity) -> dict[str, Any]:
    return {**provenance(), "model": str(model.path.resolve()), **model.identity}


def _write_record(path: Path, record: dict[str, Any]) -> None:
    write_text(path / "run.json", json.dumps(record, indent=2) + "\n")


def _read_record(path: Path) -> dict[str, Any]:
    file = path / "run.json"
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise RunError(f"{file}: not valid JSON ({error}). Give another --out.") from error


def _read_rows(file: Path) -> list[Row]:
    try:
        # pandas is not used, because its import takes a second of CPU time.
        with file.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = list(reader)
    except FileNotFoundError:
        return []
    except (csv.Error, UnicodeDecodeError) as error:
        raise RunError(f"{file}: the summary cannot be read ({error}). Remove it.") from error
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise RunError(f"{file}: no column {', '.join(missing)}. Remove the file.")
    return [{key: _value(key, text) for key, text in row.items() if key} for row in rows]


def _without_nan(value: Any) -> Any:
    """The value, or None in place of NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _value(column: str, text: str | None) -> str | float | int | None:
    if column in TEXT_COLUMNS:
        return text or ""
    try:
        return int(text or "") if column in COUNTS else float(text or "")
    except ValueError:
        return None
