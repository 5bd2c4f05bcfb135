"""Trained models in Python: load one, segment slides, look at the results."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from h2g.annotations.regions import AnnotatedRegions
from h2g.errors import SlideError
from h2g.folders.predictions import Row, SlideRequest, open_folder
from h2g.hardware import usable_cores
from h2g.prediction.find_model import find_model
from h2g.prediction.model_files import ModelFiles, with_patches
from h2g.prediction.predict_slides import open_segmenter, predict_slides, record
from h2g.prediction.region_files import with_regions
from h2g.prediction.segment_slide import Segmenter
from h2g.reporting.overlay import draw_overlay
from h2g.results.outputs import area_mm2, outline
from h2g.results.slide_state import Failure, Segmented
from h2g.slides.find_slides import find_slides
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import SlidePool
from h2g.slides.tissue_patches import BATCH_SIZE


def load_model(
    path: str | Path,
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
    batch_size: int = BATCH_SIZE,
    patches: str | None = None,
) -> Model:
    """Loads a trained model: a run folder, or a bundle, which needs no TensorFlow.

    Args:
        path: folder that ``h2g train`` or ``h2g export`` made.
        engine: ``keras`` for a run; ``onnxruntime``, ``openvino``, ``tflite`` or ``fast`` for a
            bundle. ``auto`` takes the fastest one that the model has files for.
        device: ``CPU`` or ``GPU``; ``auto`` takes a GPU if there is one.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``int8``.
        threads: number of threads that read patches; None takes one per core.
        batch_size: number of patches that are read together.
        patches: ``all``, or ``adaptive`` or ``adaptive:THRESHOLD`` to classify only patches whose
            neighbours differ, by more than 0.3 or THRESHOLD; the others get their neighbours'
            mean. ``adaptive:THRESHOLD:DARKER`` also classifies patches whose mean red is by DARKER
            below their neighbours'. None takes what the model's recipe says, by default ``all``.
    Raises:
        RunError: ``path`` is no model, or is not trained yet.
        ModelError: files of the bundle are missing or have changed.
        WrongUseError: the engine, device or precision is not available for this model here.

    Example:
        >>> import h2g
        >>> model = h2g.load_model("bundle")
        >>> model.class_names
        ('background', 'tumour')
    """
    files = find_model(Path(path), engine=engine, device=device, precision=precision)
    return Model(with_patches(files, patches), threads, batch_size)


@dataclass(frozen=True)
class Model:
    """A trained model; its networks are loaded with the first slide.

    Attributes:
        files: its classes, preprocessing and network files.
        threads: number of threads that read patches; None takes one per core.
        batch_size: number of patches that are read together.
    """

    files: ModelFiles
    threads: int | None = None
    batch_size: int = BATCH_SIZE

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, background first."""
        return self.files.class_names

    def predict(
        self, slide: str | Path, *, mpp: float | None = None, regions: str | Path | None = None
    ) -> Prediction:
        """Segments one slide.

        Args:
            mpp: um/px of level 0; overrides the slide's own.
            regions: file of the outlines inside which to predict.
        Raises:
            SlideError: the slide cannot be read, or has no tissue or no resolution.

        Example:
            >>> import h2g
            >>> found = h2g.load_model("bundle").predict("slide.tiff")
            >>> found.areas_mm2.keys()
            dict_keys(['tissue', 'tumour'])
            >>> found.save("predictions")
        """
        request = SlideRequest(Path(slide), mpp, Path(regions) if regions else None)
        with closing(SlidePool(max_open=self._threads + 1)) as pool:
            state = self._segmenter.prepare(pool, request)
            if isinstance(state, Failure):
                raise SlideError(state.reason)
            segmented = self._segmenter.segment(request, state)
        if isinstance(segmented, Failure):
            raise SlideError(segmented.reason)
        return Prediction(request, segmented, self.files)

    def predict_slides(
        self,
        slides: str | Path | Sequence[str | Path | SlideRequest],
        out: str | Path,
        *,
        mpp: float | None = None,
        split: str | None = None,
        regions: str | Path | None = None,
        skip_damaged: bool = False,
    ) -> list[Row]:
        """Predicts many slides into a folder, like ``h2g predict``; skips finished slides.

        Args:
            slides: slide files, folders of slides, tables (CSV) or requests.
            out: the prediction folder.
            mpp: um/px of level 0; overrides the slides' own. Requests keep theirs.
            split: use only this split of the tables.
            regions: outlines inside which to predict: the file for one slide, or a folder with a
                file named after each slide. Requests that are given keep theirs.
            skip_damaged: takes damaged tiles as missing (white), with a warning; else their slide
                fails.
        Returns:
            The rows of summary.csv; the row of a failed slide gives the reason.

        Example:
            >>> import h2g
            >>> rows = h2g.load_model("bundle").predict_slides("slides", "predictions")
            >>> rows[0]["status"]
            'ok'
        """
        sources = [slides] if isinstance(slides, str | Path) else list(slides)
        requests = [each for each in sources if isinstance(each, SlideRequest)]
        paths = [Path(each) for each in sources if not isinstance(each, SlideRequest)]
        if paths:
            found = find_slides(paths, mpp=mpp, split=split, apart_from=Path(out))
            requests += with_regions(found, Path(regions)) if regions else found
        return predict_slides(
            self.files,
            requests,
            Path(out),
            threads=self.threads,
            batch_size=self.batch_size,
            skip_damaged=skip_damaged,
        )

    @property
    def _threads(self) -> int:
        return self.threads or usable_cores()

    @cached_property
    def _segmenter(self) -> Segmenter:
        segmenter = open_segmenter(self.files, threads=self._threads, batch_size=self.batch_size)
        segmenter.open()
        return segmenter


@dataclass(frozen=True)
class Prediction:
    """The segmentation of a slide; notebooks display it as an image.

    Attributes:
        request: the requested slide.
        found: all results.
        model: the model that found them.
    """

    request: SlideRequest
    found: Segmented = field(repr=False)
    model: ModelFiles = field(repr=False)

    @property
    def labels(self) -> np.ndarray:
        """Labels of the slide's whole field, (h, w) uint8; 0 is background."""
        return self.found.labels

    @property
    def heatmap(self) -> Heatmap | None:
        """Class probabilities on a grid of cells; None if the model classifies no patches."""
        return self.found.heatmap

    @cached_property
    def regions(self) -> AnnotatedRegions:
        """Outlines of every class as shapely polygons in level-0 pixels."""
        return outline(self.found)

    @property
    def areas_mm2(self) -> dict[str, float]:
        """Areas of the tissue and of every class but background, by name."""
        classes = self.found.class_names[1:]
        areas = {
            name: area_mm2(self.found, self.labels == number)
            for number, name in enumerate(classes, start=1)
        }
        return {"tissue": self.found.located.tissue.area_mm2, **areas}

    def overlay(self) -> Image.Image:
        """The slide at low resolution with each class filled and outlined."""
        return Image.fromarray(draw_overlay(self.found.plane.rgb, self.labels))

    def save(self, folder: str | Path) -> None:
        """Writes heatmap, segmentation, GeoJSON, patch table, overlay and a row of summary.csv.

        Raises:
            RunError: it is no prediction folder, or holds another model's predictions.
        """
        record(open_folder(Path(folder), self.model), self.request, self.found)

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.overlay().save(stream, "PNG")
        return stream.getvalue()
