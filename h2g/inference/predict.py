"""Slides to the prediction folder, one after the other, each with its outputs or a reason.

While the network classifies a slide, threads read its patches, and the next slide's tissue is
found and its first patches are read. Memory holds the waiting batches and the low-resolution
pictures of two slides, whatever their size.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from h2g.errors import SlideError
from h2g.inference.ahead import Ahead
from h2g.inference.engine import Engine
from h2g.inference.folder import PredictionFolder, Row, open_folder
from h2g.inference.loading import LoadedModel
from h2g.inference.outputs import Seconds, Segmented, summary_row, write_outputs
from h2g.inference.patchwise import (
    BATCH_SIZE,
    Located,
    PatchBatches,
    classify_batches,
    locate_patches,
    read_batches,
)
from h2g.inference.refinement import labels_at, patchwise_labels, refine_plane
from h2g.inference.requests import SlideRequest
from h2g.slides.reading import Plane, SlideInfo, SlidePool, read_low_resolution
from h2g.slides.tissue import TissueMask

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A slide whose patches are being read."""

    located: Located
    plane: Plane
    batches: PatchBatches
    seconds: float


@dataclass(frozen=True)
class Failure:
    """Why a slide has no outputs, and what is known of it."""

    reason: str
    info: SlideInfo | None = None
    tissue: TissueMask | None = None


def predict_slides(
    model: LoadedModel,
    slides: Sequence[SlideRequest],
    out: Path,
    *,
    threads: int | None = None,
    batch_size: int = BATCH_SIZE,
) -> pd.DataFrame:
    """Predicts slides into a prediction folder; those that are done there are skipped.

    Args:
        threads: that read patches; None takes one for each core.
    Returns:
        summary.csv as a table: a slide that failed is a row with the reason.
    Raises:
        RunError: ``out`` is something else, or holds another model's predictions.
    """
    folder = open_folder(out, model)
    folder.refuse_other_slides(slides)
    todo = [slide for slide in slides if not folder.is_done(slide)]
    if len(todo) < len(slides):
        logger.info("%d of %d slides were done before.", len(slides) - len(todo), len(slides))
    if todo:
        threads = threads or os.cpu_count() or 1
        _predict(model, todo, folder, threads=threads, batch_size=batch_size)
    return folder.summary()


def _predict(
    model: LoadedModel,
    slides: Sequence[SlideRequest],
    folder: PredictionFolder,
    *,
    threads: int,
    batch_size: int,
) -> None:
    with closing(SlidePool(max_open=2 * threads + 2)) as pool:

        def prepare(slide: SlideRequest) -> Prepared | Failure:
            return _prepare(pool, slide, model, threads=threads, batch_size=batch_size)

        # Starts on the first slide at once, so that it is read while the engine opens.
        with Ahead(prepare, slides, threads=1, ahead=1, drop=_drop) as ahead:
            engine = _open_engine(model, folder, threads=threads, batch_size=batch_size)
            for slide, prepared in ahead:
                row = _outcome(prepared, folder, slide, model, engine)
                folder.record({"slide": slide.name, "file": str(slide.path.resolve()), **row})


def _drop(prepared: Prepared | Failure) -> None:
    if isinstance(prepared, Prepared):
        prepared.batches.close()


def _prepare(
    pool: SlidePool, request: SlideRequest, model: LoadedModel, *, threads: int, batch_size: int
) -> Prepared | Failure:
    """Finds a slide's patches and starts to read them."""
    start = time.perf_counter()
    settings = model.preprocessing
    info: SlideInfo | None = None
    try:
        with pool.lease(request.path, request.mpp) as slide:
            info = slide.info
            located = locate_patches(slide, settings)
            reason = located.why_none(settings)
            if reason:
                return Failure(f"{request.path.name}: {reason}", info, located.tissue)
            plane = read_low_resolution(slide, settings.low_resolution)
        batches = read_batches(pool, located, request.mpp, threads=threads, batch_size=batch_size)
    except SlideError as error:
        return Failure(str(error), info)
    except OSError as error:  # nothing is written here: the slide's own place fails
        return Failure(f"{request.path}: cannot be read ({error.strerror}).", info)
    return Prepared(located, plane, batches, time.perf_counter() - start)


def _open_engine(
    model: LoadedModel, folder: PredictionFolder, *, threads: int, batch_size: int
) -> Engine:
    start = time.perf_counter()
    engine = model.open_engine(batch_size)
    # The first call loads weights and builds the graph: that is no slide's time.
    side = model.preprocessing.patch.size_px
    engine.classify(np.zeros((1, side, side, 3), np.uint8))
    seconds = round(time.perf_counter() - start, 2)
    folder.note_run(model, engine, threads=threads, batch_size=batch_size, seconds_engine=seconds)
    return engine


def _outcome(
    prepared: Prepared | Failure,
    folder: PredictionFolder,
    request: SlideRequest,
    model: LoadedModel,
    engine: Engine,
) -> Row:
    """A slide's row, after its outputs are written; a failed slide has none."""
    files = folder.files(request.name)
    if isinstance(prepared, Prepared):
        try:
            slide = _segment(prepared, engine, len(model.class_names))
        except SlideError as error:
            prepared = Failure(str(error), prepared.located.info, prepared.located.tissue)
        else:
            start = time.perf_counter()
            write_outputs(slide, files, model.class_names)
            seconds = time.perf_counter() - start
            return summary_row(slide, model.class_names, seconds_writing=seconds)
    logger.error("%s", prepared.reason)
    files.remove()
    return _failed_row(prepared)


def _segment(prepared: Prepared, engine: Engine, class_count: int) -> Segmented:
    """Classifies and refines; SlideError when a patch cannot be read."""
    start = time.perf_counter()
    located, plane = prepared.located, prepared.plane
    with prepared.batches as batches:
        heatmap, inference = classify_batches(batches, engine, located, class_count)
    size_px = (plane.rgb.shape[1], plane.rgb.shape[0])
    classified = time.perf_counter()
    if engine.has_refinement:
        labels = labels_at(refine_plane(plane, heatmap, engine), size_px)
        refinement = time.perf_counter() - classified
    else:
        labels, refinement = patchwise_labels(heatmap, size_px), 0.0
    total = prepared.seconds + time.perf_counter() - start
    seconds = Seconds(batches.seconds, inference, refinement, total)
    return Segmented(located, plane, heatmap, labels, seconds)


def _failed_row(failure: Failure) -> Row:
    row: Row = {"status": "failed", "reason": failure.reason}
    if failure.info is not None:
        row |= {"mpp": failure.info.mpp, "mpp_source": failure.info.mpp_source}
    if failure.tissue is not None:
        row |= {"tissue_mm2": round(failure.tissue.area_mm2, 4)}
    return row
