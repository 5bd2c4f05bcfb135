"""The files and the summary row of one predicted slide.

To add an output, write a function and add one row to OUTPUTS.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
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
from h2g.folders.predictions import Row
from h2g.reporting.overlay import write_overlay
from h2g.results.slide_state import Seconds, Segmented
from h2g.slides.heatmap import Heatmap
from h2g.slides.tiff_files import write_heatmap, write_pyramid

# In pixels of the segmentation; it smooths the stairs of slanted edges but keeps every speck.
SIMPLIFICATION = 0.5


@dataclass(frozen=True)
class SlideFiles:
    """Paths of the outputs of one slide.

    Attributes:
        root: the prediction folder.
        name: name of the slide.
    """

    root: Path
    name: str

    def __getitem__(self, output: str) -> Path:
        """The file of an output, by its name in OUTPUTS."""
        kind = OUTPUTS[output]
        return self.root / kind.folder / f"{self.name}{kind.suffix}"

    def remove(self) -> None:
        """Deletes all files of the slide, recorded or not."""
        for output in OUTPUTS:
            self[output].unlink(missing_ok=True)


def write_outputs(slide: Segmented, files: SlideFiles) -> list[str]:
    """Writes all files of a slide, each whole or not at all.

    Returns:
        Their paths relative to the prediction folder.
    """
    wanted = [
        (kind, files[name])
        for name, kind in OUTPUTS.items()
        if slide.heatmap is not None or not kind.of_heatmap
    ]
    # Outlines come first, because they take about as long as all other outputs together.
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda pair: pair[0].write(slide, pair[1]), wanted))
    return [file.relative_to(files.root).as_posix() for _, file in wanted]


def _write_outlines(slide: Segmented, path: Path) -> None:
    frame = slide.plane.frame
    write_geojson(outline(slide), path, class_names=slide.class_names, frame=frame)


def outline(slide: Segmented) -> AnnotatedRegions:
    """The labels as slightly simplified polygons in level-0 pixels."""
    frame, source = slide.plane.frame, slide.located.info.path
    exact = regions_from_labels(
        slide.labels, slide.class_names, field_level0=frame.field_level0, source=source
    )
    tolerance = SIMPLIFICATION * frame.pixel_level0(_size_px(slide.labels))[0]
    regions = [
        Region(shapely.simplify(region.geometry, tolerance), region.class_name)
        for region in exact.regions
    ]
    return AnnotatedRegions(tuple(regions), source)


def _write_patches(slide: Segmented, path: Path) -> None:
    """Writes a patch table like wsinfer's: squares in level-0 pixels with class probabilities."""
    plan, heatmap = slide.located.plan, _heatmap(slide)
    side, margin = round(plan.step_level0), round(plan.margin_level0)
    header = ["minx", "miny", "width", "height", *(f"prob_{name}" for name in slide.class_names)]
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for row, col in _classified_cells(slide).tolist():
            x, y = plan.xy_level0(row, col)
            means = heatmap.of_patch(row, col, plan).mean(axis=(0, 1))
            probabilities = (f"{value:.6g}" for value in means)
            writer.writerow([x + margin, y + margin, side, side, *probabilities])


def _classified_cells(slide: Segmented) -> np.ndarray:
    """Rows and columns of the patches that the network has classified, (n, 2)."""
    cells, heatmap = slide.located.cells, slide.heatmap
    if heatmap is None or heatmap.classified is None:
        return cells
    s = heatmap.values.shape[0] // slide.located.plan.rows
    return cells[heatmap.classified[cells[:, 0] * s, cells[:, 1] * s]]


def _write_segmentation(slide: Segmented, path: Path) -> None:
    labels = slide.labels
    write_pyramid(path, labels, mpp=slide.plane.frame.pixel_um(_size_px(labels)))


def _heatmap(slide: Segmented) -> Heatmap:
    if slide.heatmap is None:
        raise ValueError("this slide has no heatmap")
    return slide.heatmap


@dataclass(frozen=True)
class Output:
    """One file per slide.

    Attributes:
        folder: name of its folder in the prediction folder.
        of_heatmap: whether it needs a heatmap.
    """

    folder: str
    suffix: str
    write: Callable[[Segmented, Path], None]
    of_heatmap: bool = False


OUTPUTS: dict[str, Output] = {
    "geojson": Output("geojson", ".geojson", _write_outlines),
    "heatmap": Output(
        "heatmaps",
        ".tiff",
        lambda slide, path: write_heatmap(path, _heatmap(slide)),
        of_heatmap=True,
    ),
    "patches": Output("patches", ".csv", _write_patches, of_heatmap=True),
    "segmentation": Output(
        "segmentations",
        ".tiff",
        _write_segmentation,
    ),
    "overlay": Output(
        "overlays",
        ".png",
        lambda slide, path: write_overlay(path, slide.plane, slide.labels, slide.heatmap),
    ),
}


def summary_row(slide: Segmented, seconds: Seconds) -> Row:
    """The slide's row of summary.csv, without its name, file and outputs."""
    info, tissue = slide.located.info, slide.located.tissue
    tumour = slide.labels > 0
    row: Row = {
        "status": "ok",
        "reason": "",
        "warnings": "; ".join(info.problems),
        "mpp": info.known_mpp,
        "mpp_source": info.mpp_source,
        **_regions_area(slide),
        "tissue_mm2": round(tissue.area_mm2, 4),
        "tumour_mm2": round(area_mm2(slide, tumour), 4),
        "tumour_percent": round(_percent_of_tissue(tissue.mask, tumour), 2),
        "patches": len(slide.located.cells),
        **_share_classified(slide),
        "seconds_tissue": round(seconds.tissue, 3),
        "seconds_read": round(seconds.read, 3),
        **{f"seconds_{name}": round(value, 3) for name, value in seconds.networks.items()},
        "seconds_writing": round(seconds.writing, 3),
        "seconds_total": round(seconds.total, 3),
    }
    if len(slide.class_names) > 2:
        for index, name in enumerate(slide.class_names[1:], start=1):
            row[f"mm2_{name}"] = round(area_mm2(slide, slide.labels == index), 4)
    return row


def _share_classified(slide: Segmented) -> Row:
    if slide.heatmap is None or slide.heatmap.classified is None:
        return {}
    count, total = len(_classified_cells(slide)), len(slide.located.cells)
    return {"patches_classified": count, "patches_percent": round(100 * count / total, 1)}


def _regions_area(slide: Segmented) -> Row:
    if slide.outside is None:
        return {}
    return {"regions_mm2": round(area_mm2(slide, ~slide.outside), 4)}


def area_mm2(slide: Segmented, inside: np.ndarray) -> float:
    """Area of the pixels inside a mask.

    Args:
        inside: (h, w) bool, with the size of the labels.
    """
    return int(np.count_nonzero(inside)) * slide.plane.frame.pixel_mm2(_size_px(inside))


def _size_px(raster: np.ndarray) -> tuple[int, int]:
    """(width, height)."""
    return raster.shape[1], raster.shape[0]


def _percent_of_tissue(tissue: np.ndarray, tumour: np.ndarray) -> float:
    size_px = _size_px(tumour)
    resized = cv2.resize(tissue.astype(np.uint8), size_px, interpolation=cv2.INTER_NEAREST_EXACT)
    inside = resized > 0
    tissue_px = int(np.count_nonzero(inside))
    return 100 * int(np.count_nonzero(tumour & inside)) / tissue_px if tissue_px else 0.0
