"""The files and the summary row of one predicted slide."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely

from h2g.annotations.qupath import write_geojson
from h2g.annotations.raster import regions_from_labels
from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.files import replacing
from h2g.inference.folder import Row, SlideFiles
from h2g.inference.patchwise import Located
from h2g.reporting.overlay import write_overlay
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Plane
from h2g.slides.writing import write_heatmap, write_pyramid

# Of a pixel of the segmentation: outlines lose the stairs of a slanted edge, no speck.
SIMPLIFICATION = 0.5


@dataclass(frozen=True)
class Seconds:
    """Where a slide's time went: wall time but for ``read``, and the parts without ``read`` sum up
    to ``total``. Waiting for other slides is in none.

    Attributes:
        tissue: finding tissue and its patches, and reading the low-resolution picture.
        read: reading patches, all reading threads added up; they work while the network does.
        waiting: the part of reading that the network did not hide.
        inference: classifying patches, without ``waiting`` and ``stitching``.
        stitching: filling the heatmap; drawing it as labels where there is no refinement network.
        refinement: the second network, and labels from its probabilities.
        writing: all files.
    """

    tissue: float
    read: float
    waiting: float
    inference: float
    stitching: float
    refinement: float
    writing: float
    total: float


@dataclass(frozen=True)
class Segmented:
    """A slide with what was found on it.

    Attributes:
        plane: the low-resolution picture.
        heatmap: None of a model without patch stage.
        labels: (h, w) uint8 of the size of ``plane``, 0 is background.
        seconds: before writing.
    """

    located: Located
    plane: Plane
    heatmap: Heatmap | None
    labels: np.ndarray
    seconds: Seconds


def write_outputs(slide: Segmented, files: SlideFiles, class_names: tuple[str, ...]) -> None:
    """Writes all files of a slide, each whole or not at all."""
    # Outlines take about as long as all the rest together.
    with ThreadPoolExecutor(1) as executor:
        outlines = executor.submit(_write_outlines, slide, files.geojson, class_names)
        if slide.heatmap is not None:
            write_heatmap(files.heatmap, slide.heatmap)
            write_patches(slide.located, slide.heatmap, files.patches, class_names)
        write_pyramid(files.segmentation, slide.labels, mpp=_pixel_um(slide))
        write_overlay(files.overlay, slide.plane, slide.labels, slide.heatmap)
        outlines.result()


def _write_outlines(slide: Segmented, path: Path, class_names: tuple[str, ...]) -> None:
    bounds_level0 = slide.located.info.bounds_level0
    found = outline(slide, class_names)
    write_geojson(found, path, class_names=class_names, bounds_level0=bounds_level0)


def outline(slide: Segmented, class_names: tuple[str, ...]) -> AnnotatedRegions:
    """The labels as polygons in level-0 pixels, lightly simplified."""
    info = slide.located.info
    exact = regions_from_labels(
        slide.labels, class_names, field_level0=info.field_level0, source=info.path
    )
    tolerance = SIMPLIFICATION * info.field_level0[0] / slide.labels.shape[1]
    regions = [
        Region(shapely.simplify(region.geometry, tolerance), region.class_name)
        for region in exact.regions
    ]
    return AnnotatedRegions(tuple(regions), info.path)


def write_patches(
    located: Located, heatmap: Heatmap, path: Path, class_names: tuple[str, ...]
) -> None:
    """Writes wsinfer's patch table: squares in level-0 pixels with their class probabilities."""
    grid = located.grid
    side = round(grid.plan.step_level0)
    header = ["minx", "miny", "width", "height", *(f"prob_{name}" for name in class_names)]
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for row, col in located.cells.tolist():
            probabilities = (f"{value:.6g}" for value in heatmap.values[row, col])
            writer.writerow([*grid.xy_level0(row, col), side, side, *probabilities])


def summary_row(slide: Segmented, class_names: tuple[str, ...], seconds: Seconds) -> Row:
    """The slide's row of summary.csv, without its name and file."""
    info, tissue = slide.located.info, slide.located.tissue
    tumour = slide.labels > 0
    row: Row = {
        "status": "ok",
        "reason": "",
        "mpp": info.known_mpp,
        "mpp_source": info.mpp_source,
        "tissue_mm2": round(tissue.area_mm2, 4),
        "tumour_mm2": round(_area_mm2(slide, tumour), 4),
        "tumour_percent": round(_percent_of_tissue(tissue.mask, tumour), 2),
        "patches": len(slide.located.cells),
        "seconds_tissue": round(seconds.tissue, 3),
        "seconds_read": round(seconds.read, 3),
        "seconds_inference": round(seconds.inference, 3),
        "seconds_refinement": round(seconds.refinement, 3),
        "seconds_writing": round(seconds.writing, 3),
        "seconds_total": round(seconds.total, 3),
    }
    if len(class_names) > 2:
        for index, name in enumerate(class_names[1:], start=1):
            row[f"mm2_{name}"] = round(_area_mm2(slide, slide.labels == index), 4)
    return row


def _pixel_um(slide: Segmented) -> tuple[float, float]:
    """(width, height) of a label's pixel; a level's sides are rounded, so they differ a little."""
    height, width = slide.labels.shape
    info = slide.located.info
    field_um = [side * info.known_mpp for side in info.field_level0]
    return field_um[0] / width, field_um[1] / height


def _area_mm2(slide: Segmented, inside: np.ndarray) -> float:
    width_um, height_um = _pixel_um(slide)
    return int(np.count_nonzero(inside)) * width_um * height_um / 1e6


def _percent_of_tissue(tissue: np.ndarray, tumour: np.ndarray) -> float:
    size_px = (tumour.shape[1], tumour.shape[0])
    fitted = cv2.resize(tissue.astype(np.uint8), size_px, interpolation=cv2.INTER_NEAREST_EXACT)
    inside = fitted > 0
    whole = int(np.count_nonzero(inside))
    return 100 * int(np.count_nonzero(tumour & inside)) / whole if whole else 0.0
