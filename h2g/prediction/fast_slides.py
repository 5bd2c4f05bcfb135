"""Segments whole slides with FAST: one process per slide, whose files are read back.

The bundle's headless pipeline does everything from the slide to the probabilities. h2g also finds
the tissue itself, by the same rule: for the areas, and to refuse slides that would crash FAST.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile

from h2g.engines.fast_process import Fast, need_fast, run_pipeline
from h2g.errors import RunError, SlideError
from h2g.fast_versions import FAST_VERSIONS, FastName
from h2g.files import absolute
from h2g.folders.bundle import Card, open_bundle
from h2g.folders.predictions import SlideRequest
from h2g.prediction.model_files import ModelFiles
from h2g.progress import progress
from h2g.recipes.preprocessing import PatchSettings
from h2g.results.slide_state import Failure, Seconds, Segmented, SlideState
from h2g.slides.fast_levels import is_too_small, misplaced_level
from h2g.slides.fast_patches import FastPatches
from h2g.slides.heatmap import Heatmap
from h2g.slides.planes import LARGEST_PLANE_PX
from h2g.slides.reading import Plane, SlidePool, open_slide, read_low_resolution
from h2g.slides.tiff_structure import READ_FAILURES
from h2g.slides.tissue_patches import Located, locate_patches

HEADLESS = "-headless.fpl"
# FAST does not report the times of its steps.
UNKNOWN = math.nan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FastSegmenter:
    """A FAST, and the pipeline of the model that it runs.

    A slide's ``seconds.total`` covers FAST's whole process, including its start.
    """

    program: Fast
    pipeline: Path
    card: Card

    @classmethod
    def of(cls, model: ModelFiles) -> FastSegmenter:
        """The segmenter of a bundle.

        Raises:
            RunError: the bundle has no FAST pipelines, or they are for an unknown version.
            WrongUseError: the FAST that the bundle is for is not installed.
        """
        bundle = open_bundle(model.path)
        export = bundle.card.find_export("fast")
        if export is None:
            raise RunError(
                f"{model.path}: this bundle has no FAST pipelines. Export the run with --format "
                "fast."
            )
        version = bundle.card.preprocessing.fast_version
        if version is None:
            raise RunError(
                f"{model.path}: the FAST pipelines of this bundle are for a version of FAST that "
                "h2g does not know. Export the run again."
            )
        (pipeline,) = (name for name in export.files if name.endswith(HEADLESS))
        return cls(need_fast(FAST_VERSIONS[version]), bundle.path / pipeline, bundle.card)

    def open(self) -> dict[str, Any]:
        # The pipeline chooses ONNX Runtime, which computes in float32.
        facts = {"engine": "fast", "device": "CPU", "precision": "float32"}
        return {**facts, "runner": str(self.program.runner), "fast": self.program.version}

    def prepare(self, pool: SlidePool, request: SlideRequest) -> SlideState | Failure:
        """The slide's tissue and patches as h2g finds them.

        It is a Failure if FAST would crash on the slide, or read other pixels.
        """
        name, settings = request.path.name, self.card.preprocessing
        try:
            with open_slide(request.path, mpp=request.mpp) as slide:
                _refuse_other_mpp(request, settings.fast_version)
                _refuse_regions(request)
                if slide.is_image:
                    return Failure(
                        f"{name}: a plain image, but FAST only reads slides. Use another engine.",
                        slide.info,
                    )
                located = locate_patches(slide, settings, wanted=self.card.takes_patches)
                reason = located.why_none(settings)
                if reason:
                    return Failure(f"{name}: {reason}", located.info, located.tissue)
                if settings.fast_version == "4.9":
                    _refuse_slides_4_9_misreads(located)
                _warn_of_scale(located, settings.patch)
                plane = read_low_resolution(slide, settings.low_resolution)
                _warn_of_reduction(located, plane)
        except SlideError as error:
            return Failure(str(error))
        except OSError as error:
            return Failure(f"{request.path}: cannot be read ({error.strerror}).")
        return SlideState(plane, self.card.class_names, located)

    def segment(self, request: SlideRequest, state: SlideState) -> Segmented | Failure:
        located = state.located
        if located is None:
            raise ValueError("the slide was not prepared")
        try:
            return self._segment(request, state, located)
        except SlideError as error:
            return Failure(str(error), located.info, located.tissue)

    def _segment(self, request: SlideRequest, state: SlideState, located: Located) -> Segmented:
        name = request.path.name
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="h2g-fast-") as folder:
            prefix = Path(folder) / "slide"
            variables = {"slide": str(absolute(request.path)), "out": str(prefix)}
            with progress(f"{request.name} in FAST", total=1) as advance:
                failure = run_pipeline(self.program.runner, self.pipeline, variables)
                advance()
            total = time.perf_counter() - start
            if failure:
                raise SlideError(f"{name}: FAST stopped: {failure}")
            cells = max(network.cells or 0 for network in self.card.networks.values())
            if cells:
                state = state.with_heatmap(
                    _tile_labels(prefix, located, state.class_names, name, cells=cells)
                )
            elif self.card.takes_patches:
                values = read_tensor(prefix, "heatmap", name)
                state = state.with_heatmap(_heatmap(values, located, len(state.class_names)))
            if self.card.slide_networks:
                state = state.with_field(read_tensor(prefix, "probabilities", name))
        height, width = state.plane.rgb.shape[:2]
        labels = state.labels((width, height))
        if state.heatmap is not None and not cells:
            located = _as_classified(located, state.heatmap)
        return Segmented(
            located,
            state.plane,
            state.class_names,
            None if cells else state.heatmap,
            labels,
            _seconds(total, self.card),
        )


def _refuse_slides_4_9_misreads(located: Located) -> None:
    """SlideError for a slide that FAST 4.9 reads wrongly or never finishes."""
    info, plan = located.info, located.plan
    other = "Use another engine, or a bundle for FAST 4.15."
    if info.mpp_source in ("objective power", "OME-XML"):
        raise SlideError(f"{info.path.name}: no um/px where FAST 4.9 looks for it. {other}")
    if is_too_small(info.levels[0]):
        width, height = info.field_level0
        raise SlideError(
            f"{info.path.name}: {width} x {height} px are too few for FAST 4.9, which skips "
            f"levels below 5 MiB. {other}"
        )
    if located.wanted and misplaced_level(info, plan.level):
        raise SlideError(
            f"{info.path.name}: FAST 4.9 reads level {plan.level} at wrong places, because its "
            f"size was rounded up. {other}"
        )
    if located.wanted and len(located.cells) == 1:
        raise SlideError(
            f"{info.path.name}: only one patch holds tissue, and FAST 4.9 waits for a second one "
            f"for ever. {other}"
        )


def _refuse_regions(request: SlideRequest) -> None:
    if request.regions is not None:
        raise SlideError(
            f"{request.path.name}: FAST finds its own patches, so it cannot be kept inside the "
            f"outlines of {request.regions}. Use another engine."
        )


def _warn_of_scale(located: Located, settings: PatchSettings) -> None:
    mpp = located.plan.mpp
    if abs(mpp / settings.mpp - 1) > settings.tolerance:
        logger.warning(
            "%s: FAST uses the objective (%gx), so patches have %.3g um/px; the model was trained "
            "at %g.",
            located.info.path.name,
            located.info.objective_power or math.nan,
            mpp,
            settings.mpp,
        )


def _warn_of_reduction(located: Located, plane: Plane) -> None:
    height, width = plane.rgb.shape[:2]
    if (width, height) not in [level.size_px for level in located.info.levels]:
        logger.warning(
            "%s: a side of its coarsest level is longer than %d px. h2g reduces it and FAST does "
            "not, so results may differ.",
            located.info.path.name,
            LARGEST_PLANE_PX,
        )


def _refuse_other_mpp(request: SlideRequest, version: FastName | None) -> None:
    """SlideError if the given um/px differ from the slide's own, which FAST uses."""
    if request.mpp is None:
        return
    try:
        with open_slide(request.path) as slide:
            slide_mpp = slide.info.known_mpp
    except SlideError:
        slide_mpp = None
    # FAST 4.9 resamples every slide that is not exactly at the wanted um/px.
    tolerance = 1e-6 if version == "4.9" else 0.01
    if slide_mpp is None or not math.isclose(slide_mpp, request.mpp, rel_tol=tolerance):
        found = f"{slide_mpp:.4g}" if slide_mpp else "none"
        raise SlideError(
            f"{request.path.name}: {request.mpp:g} um/px were given, but FAST uses the slide's own "
            f"({found}). Use another engine."
        )


def _as_classified(located: Located, heatmap: Heatmap) -> Located:
    """``located`` with the patches that FAST classified; warns if h2g would choose others."""
    found = dataclasses.replace(located, cells=np.argwhere(heatmap.values.any(axis=2)))
    if not np.array_equal(found.cells, located.cells):
        logger.warning(
            "%s: FAST classified %d patches, and h2g would have classified %d.",
            located.info.path.name,
            len(found.cells),
            len(located.cells),
        )
    return found


def read_tensor(prefix: Path, what: str, name: str) -> np.ndarray:
    """The float32 tensor of a file that the headless pipeline wrote.

    Args:
        prefix: prefix that the pipeline was run with.
        what: ``heatmap`` or ``probabilities``.
        name: the slide's name, for the message.
    Raises:
        SlideError: the file is missing or incomplete.
    """
    file = prefix.with_name(f"{prefix.name}_{what}.hdf5")
    try:
        with h5py.File(file) as stream:
            return np.asarray(stream["tensor"], np.float32)
    except (OSError, KeyError) as error:
        raise SlideError(f"{name}: FAST wrote no complete {what} ({error}).") from error


def _heatmap(values: np.ndarray, located: Located, class_count: int) -> Heatmap:
    plan, info = located.plan, located.info
    if isinstance(plan, FastPatches) and plan.fast_version == "4.9":
        # FAST 4.9's heatmaps of resampled patches have empty cells beyond the slide (fast_patches).
        values = values[: plan.rows, : plan.cols]
    if values.shape != (plan.rows, plan.cols, class_count):
        raise SlideError(
            f"{info.path.name}: FAST's heatmap has the shape {values.shape}, not "
            f"{(plan.rows, plan.cols, class_count)}, so this bundle is for another FAST. Export "
            "the run again."
        )
    return Heatmap(values, plan.step_level0, info.frame)


def _tile_labels(
    prefix: Path, located: Located, class_names: tuple[str, ...], name: str, *, cells: int
) -> Heatmap:
    """The labels that FAST stitched, as probabilities 0 and 1; FAST writes no others.

    Args:
        cells: along the side of a patch.
    Raises:
        SlideError: the file is missing or incomplete.
    """
    plan, info = located.plan, located.info
    cell_px = plan.step_px // cells
    try:
        labels = tifffile.imread(prefix.with_name(f"{prefix.name}_segmentation.tiff"), key=0)
    except READ_FAILURES as error:
        raise SlideError(f"{name}: FAST wrote no complete segmentation ({error}).") from error
    labels = labels.reshape(labels.shape[0], labels.shape[1], -1)[..., 0]
    # FAST's exporter leaves the last row and column empty; they are mostly in the last cells.
    if (len(labels) - 1) % cell_px:
        labels[-1] = labels[-2]
    if (labels.shape[1] - 1) % cell_px:
        labels[:, -1] = labels[:, -2]
    # FAST's image ends with the level or its last tile; the grid ends with a whole cell.
    rows, cols = plan.rows * plan.step_px, plan.cols * plan.step_px
    padded = np.zeros((rows, cols), np.uint8)
    labels = labels[:rows, :cols]
    padded[: labels.shape[0], : labels.shape[1]] = labels
    values = np.stack([padded == number for number in range(len(class_names))], axis=-1)
    return Heatmap(values, plan.pixel_level0, info.frame)


def _seconds(total: float, card: Card) -> Seconds:
    return Seconds(
        tissue=UNKNOWN,
        read=UNKNOWN,
        waiting=UNKNOWN,
        stitching=UNKNOWN,
        networks=dict.fromkeys(card.networks, UNKNOWN),
        total=total,
    )
