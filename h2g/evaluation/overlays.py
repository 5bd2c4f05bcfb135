"""Pictures of the best, the median and the worst slide of an evaluation."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from h2g.annotations.raster import UNKNOWN
from h2g.annotations.truth import true_labels
from h2g.errors import SlideError
from h2g.evaluation.scores import Evaluation
from h2g.folders.run import Run
from h2g.reporting.overlay import write_overlay
from h2g.slides.png_files import read_png
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.slides.tiff_files import read_heatmap

logger = logging.getLogger(__name__)


def extreme_slides(evaluation: Evaluation) -> dict[str, str]:
    """Names of the best, median and worst slide by the Dice of the final segmentation.

    The median of an even number of slides is the lower one. No slide is listed twice.
    """
    ranked = sorted(
        evaluation.slides,
        key=lambda slide: (slide.score(evaluation.final_variant).dice, slide.slide),
    )
    places = {"best": -1, "worst": 0, "median": (len(ranked) - 1) // 2}
    roles: dict[str, str] = {}
    for role, place in places.items():
        if ranked[place].slide not in roles.values():
            roles[role] = ranked[place].slide
    return roles


def write_overlays(run: Run, evaluation: Evaluation, folder: Path) -> None:
    """Writes overlays/<role>-<slide>.png, and removes the pictures of earlier evaluations.

    A picture shows the heatmap, the segmentation and the dashed outline of the annotation.
    """
    rows = {row.name: row for row in run.cohort.slides}
    wanted = {
        folder / "overlays" / f"{role}-{name}.png": name
        for role, name in extreme_slides(evaluation).items()
    }
    for path, name in wanted.items():
        labels_file = folder / "labels" / f"{name}.png"
        if path.is_file() and path.stat().st_mtime >= labels_file.stat().st_mtime:
            continue
        row = rows[name]
        try:
            heatmap_file = run.heatmap_file(name)
            heatmap = read_heatmap(heatmap_file) if heatmap_file.is_file() else None
            with open_slide(row.slide, mpp=row.mpp) as slide:
                truth = true_labels(row, run.recipe, slide.info.frame, evaluation.size_px)
                plane = read_low_resolution(slide, run.recipe.preprocessing.low_resolution)
        except SlideError as error:
            logger.warning("%s: no overlay was drawn (%s)", name, error)
            continue
        labels = read_png(labels_file)
        assert labels is not None, "score_slide has just written or read it"
        write_overlay(path, plane, labels, heatmap, truth=np.where(truth == UNKNOWN, 0, truth))
    for role in ("best", "median", "worst"):
        for path in (folder / "overlays").glob(f"{role}-*.png"):
            if path not in wanted:
                path.unlink()
