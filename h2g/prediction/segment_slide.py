"""Segments one slide in three timed steps: prepare, segment, write.

The steps of several slides may overlap. While the networks run, one thread prepares the next slide,
and another writes the previous one.
"""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from h2g.concurrency import Stopwatch
from h2g.engines.engine import Network
from h2g.errors import AnnotationError, SlideError
from h2g.folders.predictions import SlideRequest
from h2g.prediction.model_files import ModelFiles
from h2g.prediction.region_files import is_outside, read_regions
from h2g.results.outputs import SlideFiles, write_outputs
from h2g.results.slide_state import Failure, Seconds, Segmented, SlideState
from h2g.slides.reading import SlideInfo, SlidePool, read_low_resolution
from h2g.slides.tissue import find_tissue
from h2g.slides.tissue_patches import LaterPatches, first_pass, locate_patches, read_batches
from h2g.stages.chain import NETWORKS


class Segmenter(Protocol):
    """Segments slides with a model, in this process or in another program."""

    def open(self) -> dict[str, Any]:
        """Loads the networks; ``prepare`` may be called before.

        Returns:
            Facts for run.json: engine, device, precision and others.
        """

    def prepare(self, pool: SlidePool, request: SlideRequest) -> SlideState | Failure:
        """Prepares a slide for the networks; called from another thread."""

    def segment(self, request: SlideRequest, state: SlideState) -> Segmented | Failure:
        """Runs the networks on a prepared slide; called from one thread."""


@dataclass
class ChainSegmenter:
    """Runs a model's networks, one after the other, in this process.

    Attributes:
        threads: number of threads that read patches.
        batch_size: patches per batch.
    """

    model: ModelFiles
    threads: int
    batch_size: int

    def open(self) -> dict[str, Any]:
        self._networks = self.model.open_networks(self.batch_size)
        first = next(iter(self._networks.values()))
        return {
            "engine": first.engine,
            "device": first.device,
            "precision": first.precision,
            "threads": self.threads,
            "batch_size": self.batch_size,
        }

    def prepare(self, pool: SlidePool, request: SlideRequest) -> SlideState | Failure:
        start = time.perf_counter()
        info: SlideInfo | None = None
        try:
            with pool.lease(request.path, request.mpp) as slide:
                info = slide.info
                state = prepare_slide(
                    pool,
                    slide,
                    self.model,
                    request,
                    threads=self.threads,
                    batch_size=self.batch_size,
                )
        except (SlideError, AnnotationError) as error:
            return Failure(str(error), info)
        except OSError as error:  # about the slide's file, because nothing is written here
            return Failure(f"{request.path}: cannot be read ({error.strerror}).", info)
        if isinstance(state, Failure):
            return state
        return dataclasses.replace(state, seconds=Seconds(tissue=time.perf_counter() - start))

    def segment(self, request: SlideRequest, state: SlideState) -> Segmented | Failure:
        return segment_slide(state, self._networks)


def predict_slide(
    request: SlideRequest, segmenter: Segmenter, files: SlideFiles, *, threads: int
) -> tuple[Segmented, Seconds]:
    """Prepares, segments and writes one slide.

    Raises:
        SlideError: the slide cannot be read, or has no resolution or no tissue.
    """
    with closing(SlidePool(max_open=threads + 1)) as pool:
        state = segmenter.prepare(pool, request)
        if isinstance(state, Failure):
            raise SlideError(state.reason)
        segmented = segmenter.segment(request, state)
        if isinstance(segmented, Failure):
            raise SlideError(segmented.reason)
        return segmented, write_slide(segmented, files)[1]


def prepare_slide(
    pool: SlidePool,
    slide: Any,
    model: ModelFiles,
    request: SlideRequest,
    *,
    threads: int,
    batch_size: int,
) -> SlideState | Failure:
    """Finds a slide's patches, starts to read them, and reads its low-resolution image."""
    settings = model.preprocessing
    frame = slide.info.frame
    regions = read_regions(request.regions, frame) if request.regions else None
    tissue = None
    if regions is not None:
        tissue = find_tissue(slide, settings.tissue)
        height, width = tissue.mask.shape
        inside = ~is_outside(regions, frame, (width, height))
        tissue = dataclasses.replace(tissue, mask=tissue.mask & inside)
    located = locate_patches(slide, settings, tissue=tissue, wanted=model.takes_patches)
    reason = located.why_none(settings)
    if reason:
        where = f"inside the outlines of {request.regions}, " if regions else ""
        return Failure(f"{request.path.name}: {where}{reason}", located.info, located.tissue)
    read = partial(read_batches, pool, located, request.mpp, threads=threads, batch_size=batch_size)
    batches, later = None, None
    if model.takes_patches and model.adaptive is None:
        batches = read()  # while the plane is read
    try:
        plane = read_low_resolution(slide, settings.low_resolution)
    except BaseException:
        if batches is not None:
            batches.close()
        raise
    if model.adaptive is not None:
        batches = read(cells=first_pass(located.cells, located.plan, plane, model.adaptive))
        later = LaterPatches(model.adaptive.threshold, lambda cells: read(cells=cells))
    state = SlideState(plane, model.class_names, located, batches, later)
    if regions is None:
        return state
    height, width = plane.rgb.shape[:2]
    return dataclasses.replace(state, outside=is_outside(regions, frame, (width, height)))


def segment_slide(state: SlideState, networks: dict[str, Network]) -> Segmented | Failure:
    """Runs the networks on a prepared slide; a Failure if a patch cannot be read."""
    start, located, prepared = time.perf_counter(), state.located, state.seconds.tissue
    if located is None:
        raise ValueError("the slide was not prepared")
    network_seconds: dict[str, float] = {}
    for name, network in networks.items():
        network_start = time.perf_counter()
        before = state.seconds
        try:
            state = NETWORKS[name].apply(state, network)
        except SlideError as error:
            return Failure(str(error), located.info, located.tissue)
        other_seconds = state.seconds.waiting - before.waiting
        other_seconds += state.seconds.stitching - before.stitching
        network_seconds[name] = time.perf_counter() - network_start - other_seconds
    drawing = Stopwatch()
    with drawing:
        height, width = state.plane.rgb.shape[:2]
        labels = state.labels((width, height))
        if state.outside is not None:
            labels = np.where(state.outside, 0, labels).astype(np.uint8)
    network_seconds[name] += drawing.seconds
    total = prepared + time.perf_counter() - start
    seconds = dataclasses.replace(state.seconds, networks=network_seconds, total=total)
    return Segmented(
        located, state.plane, state.class_names, state.heatmap, labels, seconds, state.outside
    )


def write_slide(slide: Segmented, files: SlideFiles) -> tuple[list[str], Seconds]:
    """Writes the slide's files; returns their names and the seconds of all three steps."""
    watch = Stopwatch()
    with watch:
        outputs = write_outputs(slide, files)
    total = slide.seconds.total + watch.seconds
    return outputs, dataclasses.replace(slide.seconds, writing=watch.seconds, total=total)
