"""One slide from file to files in three steps, each timed; h2g predict and h2g benchmark take them.

The steps of several slides may overlap: a thread prepares the next slide while the engine works,
and another writes the one before.
"""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing
from dataclasses import dataclass

from h2g.concurrency import Stopwatch
from h2g.errors import SlideError
from h2g.inference.engine import Engine
from h2g.inference.folder import SlideFiles
from h2g.inference.loaded_model import LoadedModel
from h2g.inference.outputs import Seconds, Segmented, write_outputs
from h2g.inference.patchwise import (
    Located,
    LoopSeconds,
    PatchBatches,
    classify_batches,
    locate_patches,
    read_batches,
)
from h2g.inference.refinement import labels_at, patchwise_labels, refine_plane
from h2g.slides.find_slides import SlideRequest
from h2g.slides.reading import Plane, SlideInfo, SlidePool, read_low_resolution
from h2g.slides.tissue import TissueMask


@dataclass(frozen=True)
class Prepared:
    """A slide whose patches are being read.

    Attributes:
        batches: None of a model without patch stage.
        seconds: what the step took.
    """

    located: Located
    plane: Plane
    batches: PatchBatches | None
    seconds: float

    def close(self) -> None:
        """Ends the reading of patches."""
        if self.batches is not None:
            self.batches.close()


@dataclass(frozen=True)
class Failure:
    """Why a slide has no outputs, and what is known of it."""

    reason: str
    info: SlideInfo | None = None
    tissue: TissueMask | None = None


def predict_slide(
    request: SlideRequest,
    model: LoadedModel,
    engine: Engine,
    files: SlideFiles,
    *,
    threads: int,
    batch_size: int,
) -> tuple[Segmented, Seconds]:
    """The three steps one after the other.

    Raises:
        SlideError: the slide cannot be read, or has no resolution or no tissue.
    """
    with closing(SlidePool(max_open=threads + 1)) as pool:
        prepared = prepare_slide(pool, request, model, threads=threads, batch_size=batch_size)
        if isinstance(prepared, Failure):
            raise SlideError(prepared.reason)
        segmented = segment_slide(prepared, engine, len(model.class_names))
        if isinstance(segmented, Failure):
            raise SlideError(segmented.reason)
        return segmented, write_slide(segmented, files, model.class_names)


def prepare_slide(
    pool: SlidePool, request: SlideRequest, model: LoadedModel, *, threads: int, batch_size: int
) -> Prepared | Failure:
    """Finds a slide's patches, starts to read them, and reads its low-resolution picture."""
    start = time.perf_counter()
    settings = model.preprocessing
    info: SlideInfo | None = None
    try:
        with pool.lease(request.path, request.mpp) as slide:
            info = slide.info
            located = locate_patches(slide, settings, classified=model.has_patch)
            reason = located.why_none(settings)
            if reason:
                return Failure(f"{request.path.name}: {reason}", info, located.tissue)
            batches = None
            if model.has_patch:
                batches = read_batches(
                    pool, located, request.mpp, threads=threads, batch_size=batch_size
                )
            try:
                plane = read_low_resolution(slide, settings.low_resolution)
            except BaseException:
                if batches is not None:
                    batches.close()
                raise
    except SlideError as error:
        return Failure(str(error), info)
    except OSError as error:  # nothing is written here: the slide's own place fails
        return Failure(f"{request.path}: cannot be read ({error.strerror}).", info)
    return Prepared(located, plane, batches, time.perf_counter() - start)


def segment_slide(prepared: Prepared, engine: Engine, class_count: int) -> Segmented | Failure:
    """Classifies and refines; a Failure when a patch cannot be read."""
    start = time.perf_counter()
    located, plane = prepared.located, prepared.plane
    heatmap, loop, read = None, LoopSeconds(0.0, 0.0, 0.0), 0.0
    if prepared.batches is not None:
        try:
            with prepared.batches as batches:
                heatmap, loop = classify_batches(batches, engine, located, class_count)
        except SlideError as error:
            return Failure(str(error), located.info, located.tissue)
        read = batches.seconds
    size_px = (plane.rgb.shape[1], plane.rgb.shape[0])
    drawing, refining = Stopwatch(), Stopwatch()
    if heatmap is None or engine.has_refinement:
        with refining:
            labels = labels_at(refine_plane(plane, heatmap, engine), size_px)
    else:
        with drawing:
            labels = patchwise_labels(heatmap, size_px)
    seconds = Seconds(
        tissue=prepared.seconds,
        read=read,
        waiting=loop.waiting,
        inference=loop.inference,
        stitching=loop.stitching + drawing.seconds,
        refinement=refining.seconds,
        writing=0.0,
        total=prepared.seconds + time.perf_counter() - start,
    )
    return Segmented(located, plane, heatmap, labels, seconds)


def write_slide(slide: Segmented, files: SlideFiles, class_names: tuple[str, ...]) -> Seconds:
    """Writes the slide's files; the seconds of all three steps."""
    watch = Stopwatch()
    with watch:
        write_outputs(slide, files, class_names)
    total = slide.seconds.total + watch.seconds
    return dataclasses.replace(slide.seconds, writing=watch.seconds, total=total)
