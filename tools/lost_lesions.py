"""Counts lesions smaller than a patch that adaptive prediction misses, on generated slides.

    python tools/lost_lesions.py RUN --out lesions

Generates slides with many annotated nodules below one patch, classifies all their patches with the
patch network of RUN, and replays adaptive prediction on the heatmaps. A lesion is found if a patch
that touches it is called tumour. It is lost if all patches find it and adaptive prediction misses
it. Writes DIR/lesions.csv, one row per slide and setting, and prints the sums.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from h2g.annotations.truth import true_labels
from h2g.engines.engine import Network
from h2g.errors import H2GError
from h2g.folders.cohort import CohortSlide, read_cohort
from h2g.folders.run import Run, open_run
from h2g.phantom import generate_cohort
from h2g.phantom.anatomy import Anatomy
from h2g.recipes.preprocessing import AdaptiveSettings
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import PatchPlan, Plane, open_slide, plan_patches, read_low_resolution
from h2g.stages.patch.classify import classify_slide, thinned
from h2g.stages.patch.patch_stage import PATCH
from h2g.stages.run_network import open_run_network
from h2g.tables import markdown_table

# Radii of the nodules in um; a patch of 256 um holds the largest.
RADIUS_UM = (60.0, 115.0)
# um/px of the raster in which lesions are told apart.
RASTER_UM = 8.0
# A patch touches a lesion if more of it than this is lesion.
TOUCHED = 0.02
SETTINGS = [
    AdaptiveSettings(threshold=threshold, darker=darker)
    for threshold in (0.05, 0.1, 0.3, 0.5)
    for darker in (None, 4.0, 2.0)
]


@dataclass(frozen=True)
class Classified:
    """A slide with every patch classified.

    Attributes:
        lesions: (n, 2) cells that touch each lesion.
    """

    heatmap: Heatmap
    plan: PatchPlan
    plane: Plane
    lesions: list[np.ndarray]


def classify(row: CohortSlide, run: Run, network: Network, threads: int) -> Classified:
    recipe = run.recipe
    with open_slide(row.slide, mpp=row.mpp) as slide:
        info = slide.info
        plan = plan_patches(info, recipe.preprocessing.patch)
        plane = read_low_resolution(slide, recipe.preprocessing.low_resolution)
    width, height = (round(side * info.known_mpp / RASTER_UM) for side in info.field_level0)
    truth = true_labels(row, recipe, info.frame, (width, height))
    heatmap = classify_slide(
        row.slide, row.mpp, network, recipe.preprocessing, threads=threads
    ).heatmap
    lesions = list(small_lesions(truth > 0, plan, heatmap.values.any(axis=2)))
    return Classified(heatmap, plan, plane, lesions)


def small_lesions(truth: np.ndarray, plan: PatchPlan, tissue: np.ndarray) -> Iterator[np.ndarray]:
    """The cells that touch each lesion below one patch; lesions without any are left out."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(truth.astype(np.uint8))
    largest = np.pi * ((RADIUS_UM[1] + RASTER_UM) / RASTER_UM) ** 2
    for number in range(1, count):
        if stats[number, cv2.CC_STAT_AREA] <= largest:
            cells = np.argwhere((plan.cell_shares(labels == number) > TOUCHED) & tissue)
            if len(cells):
                yield cells


def is_found(heatmap: Heatmap, cells: np.ndarray) -> bool:
    return bool((heatmap.values[tuple(cells.T)][:, 1:].max(axis=1) > 0.5).any())


def count(slide: Classified) -> list[dict[str, object]]:
    """One row per setting: lesions, those found by all patches, those lost, share of patches."""
    found = [cells for cells in slide.lesions if is_found(slide.heatmap, cells)]
    rows: list[dict[str, object]] = []
    for adaptive in SETTINGS:
        heatmap, percent = thinned(slide.heatmap, slide.plan, adaptive, slide.plane)
        lost = sum(not is_found(heatmap, cells) for cells in found)
        numbers = {"lesions": len(slide.lesions), "found": len(found), "lost": lost}
        rows.append({"patches": str(adaptive), **numbers, "percent": percent})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--slides", type=int, default=4)
    parser.add_argument("--size-mm", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    run = open_run(arguments.run)
    anatomy = Anatomy(satellites_per_mm2=1.0, nodule_radius_um=RADIUS_UM, tumour_share=0.12)
    cohort = generate_cohort(
        arguments.out,
        slides=arguments.slides,
        size_mm=arguments.size_mm,
        mpp=run.recipe.preprocessing.patch.mpp,
        seed=arguments.seed,
        jobs=arguments.jobs,
        anatomy=anatomy,
    )
    network = open_run_network(run, PATCH)
    rows = []
    for row in read_cohort(cohort).slides:
        slide = classify(row, run, network, arguments.jobs)
        rows += [{"slide": row.name, **counted} for counted in count(slide)]
    table = pd.DataFrame(rows)
    table.to_csv(arguments.out / "lesions.csv", index=False, float_format="%.6g")
    sums = table.groupby("patches", sort=False).agg(
        {"lesions": "sum", "found": "sum", "lost": "sum", "percent": "mean"}
    )
    cells = [[name, *map(str, row[:3]), f"{row[3]:.1f}"] for name, *row in sums.itertuples()]
    print(markdown_table(["--patches", "lesions", "found by all", "lost", "patches, %"], cells))


if __name__ == "__main__":
    try:
        main()
    except H2GError as error:
        sys.exit(f"lost_lesions: {error}")
