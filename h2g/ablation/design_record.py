"""The record of a design in an ablation, stored in its run folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from h2g.errors import RunError
from h2g.files import write_text
from h2g.folders.run import evaluation_folder

RECORD = "ablation.json"


@dataclass(frozen=True)
class Record:
    """The state of a design.

    Attributes:
        status: "", "begun", "done" or "failed".
        reason: reason of the failure.
        reused: name of the design from which a stage was copied, by the stage's folder.
        reused_seconds: original time of those stages, by the stage's folder.
        parameters, paper_parameters: number of parameters by stage, of our networks and as printed
            in the paper.
    """

    status: str = ""
    reason: str = ""
    reused: dict[str, str] = field(default_factory=dict)
    reused_seconds: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    paper_parameters: dict[str, int] = field(default_factory=dict)


def read_record(folder: Path) -> Record:
    """The record of a run folder; an empty one if there is none yet.

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
    scores = evaluation_folder(folder, "test") / "scores.json"
    return read_record(folder).status == "done" and scores.is_file()
