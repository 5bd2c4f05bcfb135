"""Predicts slides into a folder, one after the other.

While the networks run on one slide, threads read its patches, write the files of the previous
slide, and prepare the next one: they find its tissue and read its first patches. Memory holds the
waiting batches and the low-resolution images of three slides, whatever their size.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from h2g.concurrency import ReadAhead, WriteBehind
from h2g.files import absolute
from h2g.folders.predictions import PredictionFolder, Row, SlideRequest, open_folder
from h2g.hardware import usable_cores
from h2g.prediction.fast_slides import FastSegmenter
from h2g.prediction.model_files import ModelFiles
from h2g.prediction.segment_slide import ChainSegmenter, Segmenter, write_slide
from h2g.results.outputs import SlideFiles, summary_row
from h2g.results.slide_state import Failure, Segmented, SlideState
from h2g.slides.info import warn_of_problems
from h2g.slides.reading import SlidePool
from h2g.slides.tissue_patches import BATCH_SIZE
from h2g.texts import joined, printable

logger = logging.getLogger(__name__)


def predict_slides(
    model: ModelFiles,
    slides: Sequence[SlideRequest],
    out: Path,
    *,
    threads: int | None = None,
    batch_size: int = BATCH_SIZE,
    skip_damaged: bool = False,
) -> list[Row]:
    """Predicts slides into a prediction folder; skips those that are finished there.

    Args:
        threads: number of threads that read patches; None takes one per core.
        skip_damaged: takes damaged tiles as missing, with a warning; else their slide fails.
    Returns:
        The rows of summary.csv; the row of a failed slide gives the reason.
    Raises:
        RunError: ``out`` is no prediction folder, or holds another model's predictions.
        WrongUseError: the model's engine cannot run here.
    """
    threads = threads or usable_cores()
    segmenter = open_segmenter(model, threads=threads, batch_size=batch_size)
    folder = open_folder(out, model)
    folder.refuse_other_slides(slides)
    pending = [slide for slide in slides if not folder.is_done(slide)]
    if len(pending) < len(slides):
        logger.info("%d of %d slides are already done.", len(slides) - len(pending), len(slides))
    if pending:
        with closing(SlidePool(max_open=2 * threads + 2, skip_damaged=skip_damaged)) as pool:
            _predict(segmenter, model, pending, folder, pool)
    return folder.summary()


def open_segmenter(model: ModelFiles, *, threads: int, batch_size: int) -> Segmenter:
    """The segmenter that runs a model on slides; its ``open`` loads the networks.

    Raises:
        RunError, WrongUseError: the engine segments whole slides and cannot run this model.
    """
    if model.runs_whole_slides:
        return FastSegmenter.of(model)
    return ChainSegmenter(model, threads, batch_size)


def _predict(
    segmenter: Segmenter,
    model: ModelFiles,
    slides: Sequence[SlideRequest],
    folder: PredictionFolder,
    pool: SlidePool,
) -> None:
    prepare = partial(segmenter.prepare, pool)
    # The reader starts at once, so that the first slide is read while the networks load.
    with (
        ReadAhead(prepare, slides, threads=1, ahead=1, drop=_drop) as reader,
        WriteBehind() as writer,
    ):
        start = time.perf_counter()
        facts = segmenter.open()
        seconds = round(time.perf_counter() - start, 2)
        folder.note_run(model, **facts, seconds_engine=seconds)
        for slide, state in reader:
            outcome: Segmented | Failure
            outcome = state if isinstance(state, Failure) else segmenter.segment(slide, state)
            outcome = _with_problems(outcome, pool.damage_problem(slide.path))
            info = outcome.info if isinstance(outcome, Failure) else outcome.located.info
            if info is not None:
                warn_of_problems(info)
            if isinstance(outcome, Failure):
                logger.error("%s", outcome.reason)
            writer.hand_over(partial(record, folder, slide, outcome))


def _with_problems(outcome: Segmented | Failure, damage: str | None) -> Segmented | Failure:
    """The outcome with the problems of its slide that were found after opening it."""
    found = outcome if isinstance(outcome, Failure) else outcome.located
    problems = found.tissue.problems if found.tissue else ()
    problems += (damage,) if damage else ()
    if found.info is None or not problems:
        return outcome
    info = dataclasses.replace(found.info, problems=(*found.info.problems, *problems))
    if isinstance(outcome, Failure):
        return dataclasses.replace(outcome, info=info)
    return dataclasses.replace(outcome, located=dataclasses.replace(outcome.located, info=info))


def _drop(state: SlideState | Failure) -> None:
    if isinstance(state, SlideState):
        state.close()


def record(folder: PredictionFolder, request: SlideRequest, outcome: Segmented | Failure) -> None:
    """Writes the files of a slide, then its row; removes the files of a failed slide."""
    files = SlideFiles(folder.path, request.name)
    outputs: list[str] = []
    if isinstance(outcome, Failure):
        files.remove()
        row = _failed_row(outcome)
    else:
        outputs, seconds = write_slide(outcome, files)
        row = summary_row(outcome, seconds)
    file = printable(str(absolute(request.path)))
    regions = {"regions": request.regions_text} if request.regions else {}
    outputs_text = joined(outputs, ";")
    folder.record({"slide": request.name, "file": file, **regions, "outputs": outputs_text, **row})


def _failed_row(failure: Failure) -> Row:
    row: Row = {"status": "failed", "reason": failure.reason}
    if failure.info is not None:
        row |= {"mpp": failure.info.mpp, "mpp_source": failure.info.mpp_source}
        row |= {"warnings": "; ".join(failure.info.problems)}
    if failure.tissue is not None:
        row |= {"tissue_mm2": round(failure.tissue.area_mm2, 4)}
    return row
