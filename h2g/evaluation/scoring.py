"""Scores one slide, and keeps what was counted so that it is counted once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from h2g.cohort import CohortSlide
from h2g.errors import AnnotationError, SlideError
from h2g.evaluation.boundaries import BoundaryScore
from h2g.evaluation.rasters import slide_heatmap, true_labels
from h2g.evaluation.scores import (
    Counts,
    FailedSlide,
    SlideScores,
    Variant,
    count_classes,
    score_outlines,
)
from h2g.evaluation.smoothing import smoothed_labels
from h2g.files import file_sha256, write_text
from h2g.inference.engine import Engine
from h2g.inference.refinement import labels_of, patchwise_labels, refine_slide
from h2g.progress import track
from h2g.reporting.overlay import write_png
from h2g.runs import Run
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import describe_slide, open_slide

# What one slide's failure may be; anything else stops the evaluation.
SLIDE_FAILURES = (SlideError, AnnotationError)
Result = TypeVar("Result")
# Counts up when more is measured: older files then lack something.
MEASURES = 2


@dataclass(frozen=True)
class Evaluator:
    """What scoring a slide needs.

    Attributes:
        engine: opens the run's engine on the first call.
        made_of: sha256 of the recipe and of the networks' files by stage.
        size_px: (width, height) of the raster in which pixels are counted.
    """

    run: Run
    engine: Callable[[], Engine]
    threads: int
    made_of: dict[str, str]
    size_px: tuple[int, int]

    @property
    def refined(self) -> bool:
        return self.run.recipe.refinement is not None

    @property
    def classified(self) -> bool:
        return self.run.recipe.patch is not None

    def heatmap(self, row: CohortSlide) -> Heatmap:
        """Of a design that classifies patches."""
        return slide_heatmap(self.run, row, self.engine, threads=self.threads)

    def truth(self, row: CohortSlide) -> np.ndarray:
        return true_labels(row, self.run.recipe, self.size_px)


def per_slide(
    evaluator: Evaluator,
    rows: Sequence[CohortSlide],
    function: Callable[[CohortSlide], Result],
    description: str,
) -> tuple[list[Result], list[FailedSlide]]:
    """What ``function`` gives for each slide, and the slides on which it failed, with reasons."""
    failures: dict[str, str] = {}
    results = []
    # Missing heatmaps first: each shows a progress bar of its own.
    for row in rows if evaluator.classified else ():
        try:
            evaluator.heatmap(row)
        except SLIDE_FAILURES as error:
            failures[row.name] = str(error)
    for row in track(rows, description, len(rows)):
        try:
            if row.name not in failures:
                results.append(function(row))
        except SLIDE_FAILURES as error:
            failures[row.name] = str(error)
    return results, [FailedSlide(*failure) for failure in failures.items()]


def score_slide(
    evaluator: Evaluator, row: CohortSlide, sigma_um: float | None, folder: Path
) -> SlideScores:
    """The slide's counts, from slides/<slide>.json where that was made with the same."""
    file = folder / "slides" / f"{row.name}.json"
    labels_file = folder / "labels" / f"{row.name}.png"
    key = {
        "made_of": evaluator.made_of,
        "annotation": annotation_sha256(row),
        "heatmap": file_sha256(evaluator.run.heatmap_file(row.name))
        if evaluator.classified
        else None,
        "sigma_um": sigma_um,
        "size_px": list(evaluator.size_px),
        "measures": MEASURES,
    }
    stored = stored_document(file, key)
    if stored is not None and cv2.imread(str(labels_file), cv2.IMREAD_UNCHANGED) is not None:
        counts = {
            variant: {name: Counts(**pixels) for name, pixels in classes.items()}
            for variant, classes in stored["counts"].items()
        }
        outlines = {
            variant: {name: BoundaryScore(**values) for name, values in classes.items()}
            for variant, classes in stored["outlines"].items()
        }
        return SlideScores(row.name, row.grade, counts, outlines)
    labels = _variant_labels(evaluator, row, sigma_um)
    truth = evaluator.truth(row)
    class_names = evaluator.run.recipe.class_names
    counts = {
        variant: count_classes(found, truth, class_names) for variant, found in labels.items()
    }
    pixel_um = _pixel_um(row, evaluator.size_px)
    outlines = {
        variant: score_outlines(found, truth, class_names, pixel_um=pixel_um)
        for variant, found in labels.items()
    }
    write_png(labels_file, labels["refined" if evaluator.refined else "patchwise"])
    scores = SlideScores(row.name, row.grade, counts, outlines)
    write_text(file, json.dumps({"key": key, **asdict(scores)}, indent=2) + "\n")
    return scores


def _pixel_um(row: CohortSlide, size_px: tuple[int, int]) -> tuple[float, float]:
    """(width, height) of a pixel of a raster over the slide's field."""
    info = describe_slide(row.slide, mpp=row.mpp)
    width, height = info.field_level0
    return width * info.known_mpp / size_px[0], height * info.known_mpp / size_px[1]


def _variant_labels(
    evaluator: Evaluator, row: CohortSlide, sigma_um: float | None
) -> dict[Variant, np.ndarray]:
    heatmap = evaluator.heatmap(row) if evaluator.classified else None
    size_px = evaluator.size_px
    labels: dict[Variant, np.ndarray] = {}
    if heatmap is not None:
        labels["patchwise"] = patchwise_labels(heatmap, size_px)
    if heatmap is not None and sigma_um is not None:
        labels["smoothed"] = smoothed_labels(heatmap, size_px, sigma_um=sigma_um)
    if evaluator.refined:
        with open_slide(row.slide, mpp=row.mpp) as slide:
            preprocessing = evaluator.run.recipe.preprocessing
            probabilities = refine_slide(slide, heatmap, evaluator.engine(), preprocessing)
        labels["refined"] = labels_of(probabilities)
    return labels


def stored_document(file: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """The document of a file made with the same, else None."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document if document.get("key") == key else None


def annotation_sha256(row: CohortSlide) -> str | None:
    return file_sha256(row.annotation) if row.annotation.is_file() else None
