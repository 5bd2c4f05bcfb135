"""Scores one slide, and stores its counts for later evaluations."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from h2g.annotations.truth import true_labels
from h2g.engines.engine import Network
from h2g.errors import AnnotationError, RunError, SlideError
from h2g.evaluation.boundaries import BoundaryScore
from h2g.evaluation.lesion_tables import LEAST_MM2
from h2g.evaluation.lesions import Lesions, match_lesions
from h2g.evaluation.scores import Counts, FailedSlide, SlideScores, count_classes, score_outlines
from h2g.evaluation.smoothing import smoothed_labels
from h2g.files import file_sha256, write_text
from h2g.folders.cohort import CohortSlide, Split
from h2g.folders.run import Run
from h2g.progress import track
from h2g.results.slide_state import SlideState
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.png_files import read_png, write_png
from h2g.slides.reading import describe_slide, open_slide, read_low_resolution
from h2g.stages.stage import SMOOTHED, NetworkKind

# Errors that only fail one slide; any other stops the evaluation.
SLIDE_FAILURES = (SlideError, AnnotationError)
Result = TypeVar("Result")
# Version of the stored counts; increase it when more is measured.
MEASURES = 2


@dataclass(frozen=True)
class Evaluator:
    """The run, networks and settings that slides are scored with.

    Attributes:
        networks: kinds of the networks that run on a slide by stage name, in order.
        open_network: opens a network of the run by stage name, each once.
        made_of: SHA-256 of the recipe, and of the networks' files by stage.
        size_px: (width, height) of the raster on which pixels are counted.
    """

    run: Run
    networks: dict[str, NetworkKind]
    open_network: Callable[[str], Network]
    threads: int
    made_of: dict[str, str]
    size_px: tuple[int, int]

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the scored variants except the smoothed one; the last is the result."""
        return tuple(network.variant for network in self.networks.values())

    @property
    def has_heatmaps(self) -> bool:
        return any(network.kept for network in self.networks.values())

    def heatmap(self, row: CohortSlide) -> Heatmap:
        """The heatmap that the run stores for a slide; made if it is missing."""
        for name, network in self.networks.items():
            if network.kept is not None:
                open_network = functools.partial(self.open_network, name)
                return network.kept(self.run, row, open_network, self.threads)
        raise ValueError(f"{self.run.path} keeps no heatmaps")

    def truth(self, row: CohortSlide, frame: Frame | None = None) -> np.ndarray:
        """The slide's annotation as labels, (height, width) uint8."""
        frame = frame or describe_slide(row.slide, mpp=row.mpp).frame
        return true_labels(row, self.run.recipe, frame, self.size_px)


def slides_to_score(run: Run, split: Split) -> tuple[CohortSlide, ...]:
    """The slides of a split; RunError if it has none."""
    rows = run.cohort.split(split)
    if not rows:
        raise RunError(f"{run.path}: its cohort has no slide in split '{split}'. Choose another.")
    return rows


def per_slide(
    evaluator: Evaluator,
    rows: Sequence[CohortSlide],
    function: Callable[[CohortSlide], Result],
    description: str,
) -> tuple[list[Result], list[FailedSlide]]:
    """The results of ``function`` for each slide, and the failed slides with reasons."""
    failures: dict[str, str] = {}
    results = []
    # Missing heatmaps are made first, because each shows its own progress bar.
    for row in rows if evaluator.has_heatmaps else ():
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
    """The slide's scores, from slides/<slide>.json if its inputs are unchanged."""
    file = folder / "slides" / f"{row.name}.json"
    labels_file = folder / "labels" / f"{row.name}.png"
    key = {
        "made_of": evaluator.made_of,
        "annotation": annotation_sha256(row),
        "heatmap": file_sha256(evaluator.run.heatmap_file(row.name))
        if evaluator.has_heatmaps
        else None,
        "sigma_um": sigma_um,
        "size_px": list(evaluator.size_px),
        "measures": MEASURES,
    }
    stored = stored_document(file, key)
    if stored is not None and read_png(labels_file) is not None:
        return _stored_scores(row, stored)
    scores, labels = _score(evaluator, row, sigma_um)
    write_png(labels_file, labels)
    write_text(file, json.dumps({"key": key, **asdict(scores)}, indent=2) + "\n")
    return scores


def slide_lesions(evaluator: Evaluator, row: CohortSlide, folder: Path) -> dict[str, Lesions]:
    """The lesions of a scored slide, by tumour class, from the segmentation that was scored."""
    frame = describe_slide(row.slide, mpp=row.mpp).frame
    truth = evaluator.truth(row, frame)
    labels = read_png(folder / "labels" / f"{row.name}.png")
    if labels is None:
        raise ValueError(f"{row.name} has not been scored")
    return {
        name: match_lesions(
            labels,
            truth,
            label,
            pixel_mm2=frame.pixel_mm2(evaluator.size_px),
            least_mm2=LEAST_MM2,
        )
        for label, name in enumerate(evaluator.run.recipe.class_names[1:], start=1)
    }


def _stored_scores(row: CohortSlide, stored: dict[str, Any]) -> SlideScores:
    counts = {
        variant: {name: Counts(**pixels) for name, pixels in classes.items()}
        for variant, classes in stored["counts"].items()
    }
    outlines = {
        variant: {name: BoundaryScore(**values) for name, values in classes.items()}
        for variant, classes in stored["outlines"].items()
    }
    return SlideScores(row.name, row.grade, counts, outlines)


def _score(
    evaluator: Evaluator, row: CohortSlide, sigma_um: float | None
) -> tuple[SlideScores, np.ndarray]:
    """The slide's scores, and the labels of the result."""
    class_names = evaluator.run.recipe.class_names
    with open_slide(row.slide, mpp=row.mpp) as slide:
        frame = slide.info.frame
        truth = evaluator.truth(row, frame)
        plane = read_low_resolution(slide, evaluator.run.recipe.low_resolution)
    labels = labels_of_variants(evaluator, row, SlideState(plane, class_names), sigma_um)
    pixel_um = frame.pixel_um(evaluator.size_px)
    counts = {name: count_classes(found, truth, class_names) for name, found in labels.items()}
    outlines = {
        name: score_outlines(found, truth, class_names, pixel_um=pixel_um)
        for name, found in labels.items()
    }
    return SlideScores(row.name, row.grade, counts, outlines), labels[evaluator.variants[-1]]


def labels_of_variants(
    evaluator: Evaluator,
    row: CohortSlide,
    state: SlideState,
    sigma_um: float | None,
    *,
    heatmap: Heatmap | None = None,
) -> dict[str, np.ndarray]:
    """Labels of each variant by name, including the smoothed one.

    Args:
        sigma_um: width of the smoothing; None leaves the smoothed variant out.
        heatmap: replaces the one that the run stores for the slide.
    """
    labels: dict[str, np.ndarray] = {}
    for name, kind in evaluator.networks.items():
        if kind.kept is not None:
            state = state.with_heatmap(heatmap or evaluator.heatmap(row))
        else:
            state = kind.apply(state, evaluator.open_network(name))
        labels[kind.variant] = state.labels(evaluator.size_px)
        if state.heatmap is not None and sigma_um is not None and SMOOTHED not in labels:
            labels[SMOOTHED] = smoothed_labels(state.heatmap, evaluator.size_px, sigma_um=sigma_um)
    return labels


def stored_document(file: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """The document of a file if it was made with the same key; else None."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document if document.get("key") == key else None


def annotation_sha256(row: CohortSlide) -> str | None:
    return file_sha256(row.annotation) if row.annotation.is_file() else None
