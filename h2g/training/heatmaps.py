"""Heatmaps of the training and validation slides, made as prediction makes them."""

from __future__ import annotations

import logging

from h2g.errors import SlideError, TrainingError
from h2g.evaluation.rasters import slide_heatmap
from h2g.inference.keras_engine import open_keras_engine
from h2g.runs import Run

logger = logging.getLogger(__name__)


def make_heatmaps(run: Run, *, threads: int) -> None:
    """Writes heatmaps/<slide>.tiff of every slide of train and val that has none.

    A slide that cannot be read is reported and left out of the refinement stage.

    Args:
        threads: how many read a slide while the network runs.
    Raises:
        RunError: the classifier is not trained.
        TrainingError: no slide of a split has a heatmap.
    """
    engine = open_keras_engine(run, stages=("patch",))
    for split in ("train", "val"):
        made = 0
        for row in run.cohort.slides:
            if row.split != split:
                continue
            try:
                slide_heatmap(run, row, lambda: engine, threads=threads)
                made += 1
            except SlideError as error:
                logger.warning("%s is left out of the refinement stage: %s", row.name, error)
        if not made:
            raise TrainingError(f"There is no heatmap of any {split} slide to refine.")
