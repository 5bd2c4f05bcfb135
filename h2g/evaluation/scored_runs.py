"""Evaluated runs as designs that were scored on the same slides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from h2g.errors import RunError
from h2g.evaluation.scores import METRICS
from h2g.folders.cohort import Split
from h2g.folders.run import Run, evaluation_folder, open_run
from h2g.texts import first_few, shell_command

SMOOTHED = "smoothed"


@dataclass(frozen=True)
class Design:
    """One row of the paper's tables.

    Attributes:
        slides: indexed by slide; columns patient, grade, recall, precision, dice.
        size_px: (width, height) of the raster on which pixels were counted.
    """

    name: str
    slides: pd.DataFrame
    size_px: tuple[int, int]


@dataclass(frozen=True)
class Scored:
    """A run with its scores on one split.

    Attributes:
        truth: sha256 of each slide's annotation, by the slide's name.
        classifier: sha256 of its first network, which made the heatmap if there is one.
    """

    run: Run
    name: str
    document: dict[str, Any]
    truth: dict[str, str | None]
    classifier: str

    @property
    def final_variant(self) -> str:
        return self.document["result"]


def read_designs(paths: Sequence[Path], split: Split) -> list[Design]:
    """The designs of evaluated runs: the result of each run, and one smoothed heatmap per patch
    classifier.

    Raises:
        RunError: a run is not evaluated on the split, has slides that failed there, or was
            evaluated on other slides or annotations than the first run.
    """
    runs = [_read_scores(path, split) for path in paths]
    for other in runs[1:]:
        _check_same_slides(runs[0], other, split)
    runs = _with_unique_names(runs)
    designs = [_design(scored, scored.final_variant, scored.name) for scored in runs]
    return designs + [
        _design(scored, SMOOTHED, f"{scored.name}, smoothed") for scored in _smoothing_runs(runs)
    ]


def _read_scores(path: Path, split: Split) -> Scored:
    run = open_run(path)
    folder = evaluation_folder(path, split)
    try:
        document = json.loads((folder / "scores.json").read_text("utf-8"))
        keys = {
            slide["slide"]: json.loads(
                (folder / "slides" / f"{slide['slide']}.json").read_text("utf-8")
            )["key"]
            for slide in document["slides"]
        }
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path}: not evaluated on {split}. Run: "
            f"{shell_command('h2g', 'evaluate', path, '--split', split)}"
        ) from error
    if document["failed"]:
        names = ", ".join(failed["slide"] for failed in document["failed"])
        raise RunError(f"{path}: slides of {split} could not be scored ({names}); fix these first.")
    made_of = next(iter(keys.values()))["made_of"]
    truth = {name: key["annotation"] for name, key in keys.items()}
    networks = [sha256 for name, sha256 in made_of.items() if name != "recipe"]
    return Scored(run, run.recipe.name, document, truth, networks[0])


def _check_same_slides(first: Scored, other: Scored, split: Split) -> None:
    names = sorted(first.truth.keys() ^ other.truth.keys())
    what = "slides"
    if not names:
        names = sorted(name for name in first.truth if first.truth[name] != other.truth[name])
        what = "annotations of slides"
    if names:
        raise RunError(
            f"{first.run.path} and {other.run.path}: evaluated on different {what} of {split} "
            f"({first_few(names)}). Train and evaluate them "
            "on one cohort to compare them."
        )


def _with_unique_names(runs: Sequence[Scored]) -> list[Scored]:
    """Names the runs after their recipes, with the folder added if two share a name."""
    names = [scored.name for scored in runs]
    return [
        Scored(s.run, f"{s.name} ({s.run.path})", s.document, s.truth, s.classifier)
        if names.count(s.name) > 1
        else s
        for s in runs
    ]


def _smoothing_runs(runs: Sequence[Scored]) -> list[Scored]:
    """The run that names each classifier's smoothed row; one without refinement is preferred."""
    chosen: dict[str, Scored] = {}
    for scored in sorted(runs, key=lambda s: s.final_variant != "patchwise"):
        if scored.document[SMOOTHED]:
            chosen.setdefault(scored.classifier, scored)
    return list(chosen.values())


def _design(scored: Scored, variant: str, name: str) -> Design:
    patients = {row.name: row.patient for row in scored.run.cohort.slides}
    rows = [
        {
            "slide": slide["slide"],
            "patient": patients[slide["slide"]] or slide["slide"],
            "grade": slide["grade"],
            **{metric: slide[variant][metric] for metric in METRICS},
        }
        for slide in scored.document["slides"]
    ]
    width, height = scored.document["size_px"]
    return Design(name, pd.DataFrame(rows).set_index("slide").sort_index(), (width, height))
