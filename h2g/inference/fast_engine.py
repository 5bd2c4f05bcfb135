"""Whole slides through FAST, a process a slide, into a prediction folder like any engine's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from h2g.bundle import open_bundle
from h2g.errors import RunError
from h2g.fast_versions import FAST_VERSIONS
from h2g.inference.engine import Engine
from h2g.inference.fast_process import need_fast
from h2g.inference.fast_slide import FastModel, segment_with_fast
from h2g.inference.folder import Row, open_folder
from h2g.inference.loaded_model import LoadedModel
from h2g.inference.one_slide import Failure
from h2g.inference.predict import record_outcome
from h2g.progress import progress
from h2g.slides.find_slides import SlideRequest

HEADLESS = "-headless.fpl"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FastEngine:
    """What the prediction folder notes; the pipeline names ONNX Runtime, which computes exactly."""

    name: str = "fast"
    device: str = "CPU"
    precision: str = "float32"


def predict_slides_with_fast(
    model: LoadedModel, slides: Sequence[SlideRequest], out: Path
) -> list[Row]:
    """Predicts slides into a prediction folder with FAST; those that are done there are skipped.

    A slide's ``seconds_total`` is the whole of FAST's process, its start included, and our files.

    Returns:
        The rows of summary.csv: a slide that failed is one with the reason.
    Raises:
        RunError: ``out`` is something else or holds another model's predictions, or the bundle has
            no FAST pipelines.
        WrongUseError: the FAST that the bundle is for is not installed.
    """
    fast = _open(model)
    folder = open_folder(out, model)
    folder.refuse_other_slides(slides)
    todo = [slide for slide in slides if not folder.is_done(slide)]
    if len(todo) < len(slides):
        logger.info("%d of %d slides were done before.", len(slides) - len(todo), len(slides))
    if todo:
        noted = {"runner": str(fast.program.runner), "fast": fast.program.version}
        folder.note_run(model, cast(Engine, FastEngine()), **noted)
    with progress("FAST", len(todo)) as advance:
        for slide in todo:
            advance(0, note=slide.name)
            outcome = segment_with_fast(slide, fast)
            if isinstance(outcome, Failure):
                logger.error("%s", outcome.reason)
            record_outcome(folder, slide, outcome, model.class_names)
            advance(1, note="")
    return folder.summary()


def _open(model: LoadedModel) -> FastModel:
    bundle = open_bundle(model.path)
    export = bundle.card.find_export("fast")
    if export is None:
        raise RunError(
            f"{model.path}: this bundle has no FAST pipelines. Export the run with --format fast."
        )
    version = bundle.card.preprocessing.fast_version
    if version is None:
        raise RunError(
            f"{model.path}: the FAST pipelines of this bundle are for no version of FAST that h2g "
            "knows. Export the run again."
        )
    (pipeline,) = (name for name in export.files if name.endswith(HEADLESS))
    return FastModel(need_fast(FAST_VERSIONS[version]), bundle.path / pipeline, bundle.card)
