"""Slides to the prediction folder, one after the other, each with its outputs or a reason.

While the network classifies a slide, threads read its patches, the files of the slide before are
written, and the next slide's tissue is found and its first patches are read. Memory holds the
waiting batches and the low-resolution pictures of three slides, whatever their size.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from h2g.concurrency import ReadAhead, WriteBehind
from h2g.hardware import usable_cores
from h2g.inference.engine import Engine
from h2g.inference.folder import PredictionFolder, Row, open_folder
from h2g.inference.loaded_model import LoadedModel
from h2g.inference.one_slide import Failure, Prepared, prepare_slide, segment_slide, write_slide
from h2g.inference.outputs import Segmented, summary_row
from h2g.inference.patchwise import BATCH_SIZE
from h2g.slides.find_slides import SlideRequest
from h2g.slides.reading import SlidePool

logger = logging.getLogger(__name__)


def predict_slides(
    model: LoadedModel,
    slides: Sequence[SlideRequest],
    out: Path,
    *,
    threads: int | None = None,
    batch_size: int = BATCH_SIZE,
) -> list[Row]:
    """Predicts slides into a prediction folder; those that are done there are skipped.

    Args:
        threads: that read patches; None takes one for each core.
    Returns:
        The rows of summary.csv: a slide that failed is one with the reason.
    Raises:
        RunError: ``out`` is something else, or holds another model's predictions.
    """
    folder = open_folder(out, model)
    folder.refuse_other_slides(slides)
    todo = [slide for slide in slides if not folder.is_done(slide)]
    if len(todo) < len(slides):
        logger.info("%d of %d slides were done before.", len(slides) - len(todo), len(slides))
    if todo:
        threads = threads or usable_cores()
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
            return prepare_slide(pool, slide, model, threads=threads, batch_size=batch_size)

        # Starts on the first slide at once, so that it is read while the engine opens.
        with (
            ReadAhead(prepare, slides, threads=1, ahead=1, drop=_drop) as reader,
            WriteBehind() as writer,
        ):
            engine = _open_engine(model, folder, threads=threads, batch_size=batch_size)
            for slide, prepared in reader:
                outcome = _segment(prepared, model, engine)
                writer.hand_over(partial(record_outcome, folder, slide, outcome, model.class_names))


def _drop(prepared: Prepared | Failure) -> None:
    if isinstance(prepared, Prepared):
        prepared.close()


def _open_engine(
    model: LoadedModel, folder: PredictionFolder, *, threads: int, batch_size: int
) -> Engine:
    start = time.perf_counter()
    engine = model.start_engine(batch_size)  # while the first slide is read
    seconds = round(time.perf_counter() - start, 2)
    folder.note_run(model, engine, threads=threads, batch_size=batch_size, seconds_engine=seconds)
    return engine


def _segment(
    prepared: Prepared | Failure, model: LoadedModel, engine: Engine
) -> Segmented | Failure:
    outcome: Segmented | Failure
    if isinstance(prepared, Prepared):
        outcome = segment_slide(prepared, engine, len(model.class_names))
    else:
        outcome = prepared
    if isinstance(outcome, Failure):
        logger.error("%s", outcome.reason)
    return outcome


def record_outcome(
    folder: PredictionFolder,
    request: SlideRequest,
    outcome: Segmented | Failure,
    class_names: tuple[str, ...],
) -> None:
    """Writes a slide's files, then its row; a failed slide has no files."""
    files = folder.files(request.name)
    if isinstance(outcome, Failure):
        files.remove()
        row = _failed_row(outcome)
    else:
        seconds = write_slide(outcome, files, class_names)
        row = summary_row(outcome, class_names, seconds)
    folder.record({"slide": request.name, "file": str(request.path.resolve()), **row})


def _failed_row(failure: Failure) -> Row:
    row: Row = {"status": "failed", "reason": failure.reason}
    if failure.info is not None:
        row |= {"mpp": failure.info.mpp, "mpp_source": failure.info.mpp_source}
    if failure.tissue is not None:
        row |= {"tissue_mm2": round(failure.tissue.area_mm2, 4)}
    return row
