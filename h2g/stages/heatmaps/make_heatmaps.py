"""Heatmaps of the training and validation slides, made as prediction makes them."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

from h2g.engines.engine import Network, open_network
from h2g.errors import SlideError, TrainingError
from h2g.folders.cohort import CohortSlide
from h2g.folders.run import Run
from h2g.stages.folds.fold_models import fold_count, fold_models, fold_of_slides
from h2g.stages.heatmaps.kept_heatmaps import kept_heatmap

logger = logging.getLogger(__name__)

WHOLE = 0  # stands for the classifier that saw all training slides, where folds are from 1 on


def seen_heatmap(run: Run, row: CohortSlide) -> Path:
    """The heatmap that the refinement network is shown of a slide of train or val.

    heatmaps/<slide>.tiff, which is the heatmap of every other use too; of a training slide, with
    folds, heatmaps/cross_fit/<slide>.tiff.
    """
    file = run.heatmap_file(row.name)
    if row.split == "train" and fold_count(run.recipe):
        return file.parent / "cross_fit" / file.name
    return file


def make_heatmaps(run: Run, *, threads: int) -> None:
    """Writes the heatmap of every slide of train and val that has none; see seen_heatmap.

    A slide that cannot be read is reported and left out of the refinement stage.

    Args:
        threads: how many read a slide while the network runs.
    Raises:
        RunError: the classifier is not trained.
        TrainingError: no slide of a split has a heatmap.
    """
    fold_of = fold_of_slides(run)
    models = [run.trained_models(["patch"])["patch"], *fold_models(run)]
    # One at a time: slides come fold by fold.
    open_model = functools.lru_cache(maxsize=1)(_open)
    for split in ("train", "val"):
        made = 0
        rows = [row for row in run.cohort.slides if row.split == split]
        for row in sorted(rows, key=lambda row: fold_of.get(row.name, WHOLE)):
            model = models[fold_of.get(row.name, WHOLE)]
            try:
                kept_heatmap(
                    seen_heatmap(run, row),
                    row,
                    run.recipe,
                    functools.partial(open_model, model),
                    model=model,
                    threads=threads,
                )
                made += 1
            except SlideError as error:
                logger.warning("%s is left out of the refinement stage: %s", row.name, error)
        if not made:
            raise TrainingError(f"There is no heatmap of any {split} slide to refine.")


def _open(model: Path) -> Network:
    return open_network(model, engine="keras", device="auto", many=True)
