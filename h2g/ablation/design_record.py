"""What became of a design, kept in its run folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from h2g.errors import RunError
from h2g.files import write_text

RECORD = "ablation.json"


@dataclass(frozen=True)
class Record:
    """What became of a design.

    Attributes:
        status: "", "begun", "done" or "failed".
        reason: of the failure.
        reused: the design that a stage was taken over from, by the stage's folder.
        reused_seconds: what those stages took where they were made.
        parameters, paper_parameters: by stage, of our networks and as the paper prints them.
    """

    status: str = ""
    reason: str = ""
    reused: dict[str, str] = field(default_factory=dict)
    reused_seconds: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    paper_parameters: dict[str, int] = field(default_factory=dict)


def read_record(folder: Path) -> Record:
    """The record of a run folder; an empty one where there is none yet.

    Raises:
        RunError: the file is damaged.
    """
    try:
        return Record(**json.loads((folder / RECORD).read_text("utf-8")))
    except FileNotFoundError:
        return Record()
    except (ValueError, TypeError) as error:
        raise RunError(f"{folder / RECORD}: cannot be read ({error}). Delete it.") from error


def write_record(folder: Path, record: Record) -> None:
    """Writes ``ablation.json`` into a run folder."""
    write_text(folder / RECORD, json.dumps(asdict(record), indent=2) + "\n")


def is_done(folder: Path) -> bool:
    """Whether a design is trained and scored."""
    scores = folder / "evaluation" / "test" / "scores.json"
    return read_record(folder).status == "done" and scores.is_file()
