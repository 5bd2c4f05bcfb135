"""The stage ``heatmaps``: heatmaps of the training and validation slides, to learn from."""

from __future__ import annotations

from h2g.files import same_files
from h2g.folders.run import Run
from h2g.stages.folds.fold_models import fold_models
from h2g.stages.folds.folds_stage import FOLDS
from h2g.stages.stage import StageKind
from h2g.training.resources import Resources

FOLDER = "heatmaps"


def _work(run: Run, resources: Resources) -> None:
    from h2g.stages.heatmaps.make_heatmaps import make_heatmaps

    make_heatmaps(run, threads=resources.jobs)


def _differences(run: Run, other: Run) -> list[str]:
    differing = FOLDS.differences(run, other)
    if not differing and not same_files(fold_models(run), fold_models(other)):
        return ["the folds' classifiers (reuse its patch/folds first)"]
    return differing


HEATMAPS = StageKind(
    name="heatmaps",
    is_in=lambda recipe: False,  # only if another stage needs it
    work=_work,
    folder=FOLDER,
    after=lambda recipe: ("patch", "folds"),
    is_whole=lambda run: any((run.path / FOLDER).rglob("*.tiff")),
    reusable=True,
    follows_from=FOLDS.follows_from,
    differences=_differences,
)
