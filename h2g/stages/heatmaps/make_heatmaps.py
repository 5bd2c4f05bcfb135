"""Makes the heatmaps of the training and validation slides, as prediction does."""

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

WHOLE = 0  # number of the classifier that saw all training slides; folds start at 1


def seen_heatmap(run: Run, row: CohortSlide) -> Path:
    """File of the heatmap that the refinement network learns from, for a train or val slide.

    It is heatmaps/cross_fit/<slide>.tiff for a training slide with folds. Otherwise it is
    heatmaps/<slide>.tiff, which all other uses share.
    """
    file = run.heatmap_file(row.name)
    if row.split == "train" and fold_count(run.recipe):
        return file.parent / "cross_fit" / file.name
    return file


def make_heatmaps(run: Run, *, threads: int) -> None:
    """Writes the missing heatmaps of the train and val slides; see seen_heatmap.

    A slide that cannot be read is reported and left out of the refinement stage.

    Args:
        threads: number of threads that read a slide while the network runs.
    Raises:
        RunError: the classifier is not trained.
        TrainingError: no slide of a split has a heatmap.
    """
    fold_of = fold_of_slides(run)
    models = [run.trained_models(["patch"])["patch"], *fold_models(run)]
    # One network at a time is enough, because slides come fold by fold.
    open_model = functools.lru_cache(maxsize=1)(_open)
    for split in ("train", "val"):
        count = 0
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
                count += 1
            except SlideError as error:
                logger.warning("%s is left out of the refinement stage: %s", row.name, error)
        if not count:
            raise TrainingError(
                f"No {split} slide has a heatmap to refine. See the warnings above."
            )


def _open(model: Path) -> Network:
    return open_network(model, engine="keras", device="auto", many=True)
