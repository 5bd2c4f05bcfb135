"""The stage ``prepare``: tissue, patches and labels of every slide."""

from __future__ import annotations

from h2g.folders.run import Run
from h2g.stages.stage import StageKind
from h2g.training.resources import Resources


def _work(run: Run, resources: Resources) -> None:
    from h2g.stages.prepare.prepare_run import prepare_run

    prepare_run(run, jobs=resources.jobs)


PREPARE = StageKind(
    name="prepare",
    is_in=lambda recipe: True,
    work=_work,
    folder="index",
    after=lambda recipe: (),
)
