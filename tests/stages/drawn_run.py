"""A run folder on drawn slides, and networks that recognise tumour by its colour."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from pathlib import Path

import cv2
import numpy as np

from h2g.concurrency import Key
from h2g.engines.engine import (
    HEATMAP_INPUT,
    IMAGE_INPUT,
    PATCH_INPUT,
    Feed,
    Network,
    Shape,
    one_by_one,
)
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, start_run
from h2g.recipes.preprocessing import LowResolutionSettings, PatchSettings, Preprocessing
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage
from h2g.slides.tiff_files import write_pyramid

STROMA, TUMOUR = (225, 160, 200), (120, 60, 150)
PATCH_PX = 64
# No whole number of patches: 16 columns cover 1024 px, 10 rows 640 px.
FIELD = (1000, 620)
SIDE_PX = 250  # of the refinement: 4 and 2.48 level-0 pixels per raster pixel
SLIDES = [
    ("train_a", "train", 1),
    ("val_a", "val", 1),
    ("test_a", "test", 1),
    ("test_b", "test", 2),
]


class ColourNetwork:
    """Recognises the tumour's colour in patches or pixels; counts its inputs."""

    engine, device, precision = "colour", "CPU", "float32"

    def __init__(self, inputs: dict[str, Shape]) -> None:
        self.inputs = inputs
        self.seen = 0

    def run(self, inputs: Feed) -> np.ndarray:
        assert inputs.keys() == self.inputs.keys()
        self.seen += len(next(iter(inputs.values())))
        if PATCH_INPUT in inputs:
            return _probabilities(inputs[PATCH_INPUT]).mean(axis=(1, 2), dtype=np.float32)
        assert inputs[HEATMAP_INPUT].shape == (1, 10, 16, 1)
        size_px = (SIDE_PX, SIDE_PX)
        (image,) = inputs[IMAGE_INPUT]
        stretched = cv2.resize(image, size_px, interpolation=cv2.INTER_NEAREST_EXACT)
        return _probabilities(stretched)[np.newaxis]

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return one_by_one(self.run, batches)


class ColourNetworks:
    """Opens colour networks in place of a run's networks, each once."""

    def __init__(self) -> None:
        self.patch = ColourNetwork({PATCH_INPUT: (None, PATCH_PX, PATCH_PX, 3)})
        self.refinement = ColourNetwork(
            {IMAGE_INPUT: (1, None, None, 3), HEATMAP_INPUT: (1, None, None, 1)}
        )

    def __call__(self, run: Run, name: str) -> Network:
        return {"patch": self.patch, "refinement": self.refinement}[name]


def recipe(*, refines: bool = True) -> Recipe:
    return Recipe(
        name="colour",
        description="Tumour by colour.",
        preprocessing=Preprocessing(
            patch=PatchSettings(mpp=1.0, size_px=PATCH_PX),
            low_resolution=LowResolutionSettings(min_side_px=500),
        ),
        refinement=RefinementStage(input_px=SIDE_PX) if refines else None,
    )


def draw_run(folder: Path, *, refines: bool = True, tumour_px: int = 512) -> Run:
    """A run with tumour left of ``tumour_px`` and placeholder network files."""
    folder.mkdir(exist_ok=True)
    lines = ["slide,annotation,split,grade"]
    for name, split, grade in SLIDES:
        draw_slide(folder / f"{name}.tiff", tumour_px)
        write_annotation(folder / f"{name}.geojson", tumour_px)
        lines.append(f"{name}.tiff,{name}.geojson,{split},{grade}")
    (folder / "cohort.csv").write_text("\n".join(lines))
    run = start_run(folder / "run", read_cohort(folder / "cohort.csv"), recipe(refines=refines))
    for stage in ("patch", "refinement") if refines else ("patch",):
        run.model_file(stage).parent.mkdir(exist_ok=True)
        run.model_file(stage).write_text("the colour rule")
    return run


def draw_slide(path: Path, tumour_px: int) -> None:
    image = np.full((FIELD[1], FIELD[0], 3), STROMA, np.uint8)
    image[:, :tumour_px] = TUMOUR
    write_pyramid(path, image, mpp=1.0, tile_px=256)


def write_annotation(path: Path, tumour_px: int) -> None:
    corners = [[0, 0], [tumour_px, 0], [tumour_px, FIELD[1]], [0, FIELD[1]], [0, 0]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))


def _probabilities(rgb: np.ndarray) -> np.ndarray:
    tumour = np.abs(rgb.astype(np.int16) - TUMOUR).max(axis=-1) < 40
    return np.stack([~tumour, tumour], axis=-1).astype(np.float32)
