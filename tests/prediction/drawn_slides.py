"""Slides drawn by the tests, and an engine that tells tumour by its colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile

from h2g.engines.engine import Engine, Key, one_by_one
from h2g.prediction.loaded_model import LoadedModel
from h2g.recipes.preprocessing import LowResolutionSettings, PatchSettings, Preprocessing
from h2g.slides.writing import write_pyramid

GLASS = (255, 255, 255)
STROMA = (235, 160, 200)
TUMOUR = (120, 60, 150)
IMMUNE = (90, 200, 90)

PREPROCESSING = Preprocessing(
    patch=PatchSettings(mpp=1.0, size_px=32, min_tissue=0.25),
    low_resolution=LowResolutionSettings(min_side_px=512),
)


class ColourEngine:
    """Probability of tumour: the share of pixels, or the pixel, in its colour; the same for a
    third class."""

    name = "colour"
    device = "CPU"
    precision = "float32"

    def __init__(self, *, classes: int = 2, refines: bool = False, input_px: int = 768) -> None:
        self.has_refinement = refines
        self.classified: list[int] = []  # sizes of the batches
        self._classes = classes
        self._input_px = input_px

    def load(self) -> None:
        """Has no files."""

    def classify(self, patches: np.ndarray) -> np.ndarray:
        self.classified.append(len(patches))
        return self._probabilities(patches).mean(axis=(1, 2), dtype=np.float32)

    def classify_each(self, batches: Iterable[tuple[Key, np.ndarray]]) -> Iterator:
        return one_by_one(self.classify, batches)

    def refine(self, image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
        assert heatmap.shape[2] == self._classes - 1
        size_px = (self._input_px, self._input_px)
        resized = cv2.resize(image.astype(np.float32), size_px, interpolation=cv2.INTER_LINEAR)
        return self._probabilities(resized)

    def _probabilities(self, rgb: np.ndarray) -> np.ndarray:
        near = [
            np.abs(rgb.astype(np.int16) - colour).max(axis=-1) < 50 for colour in (TUMOUR, IMMUNE)
        ]
        tumour = near[: self._classes - 1]
        background = ~np.logical_or.reduce(tumour)
        return np.stack([background, *tumour], axis=-1).astype(np.float32)


def colour_model(engine: Engine, *, preprocessing: Preprocessing = PREPROCESSING) -> LoadedModel:
    """A model whose networks are the colour rule."""
    classes = ("background", "tumour", "immune") if _has_three(engine) else ("background", "tumour")
    return LoadedModel(
        path=Path("colour-rule"),
        recipe="colour",
        class_names=classes,
        preprocessing=preprocessing,
        sha256={"patch/model.keras": "0" * 64},
        open_engine=lambda batch_size: engine,
    )


def draw(
    size_px: tuple[int, int],
    *,
    tissue: np.ndarray | None = None,
    shapes: dict[tuple[int, int, int], list[np.ndarray]] | None = None,
) -> np.ndarray:
    """White glass, tissue inside a polygon (everywhere without one), shapes in their colours; the
    polygons of one colour cut holes into each other."""
    image = np.full((size_px[1], size_px[0], 3), GLASS, np.uint8)
    if tissue is None:
        image[:] = STROMA
    else:
        cv2.fillPoly(image, [tissue.astype(np.int32)], STROMA)
    for colour, polygons in (shapes or {}).items():
        cv2.fillPoly(image, [polygon.astype(np.int32) for polygon in polygons], colour)
    return image


def save_tiff(path: Path, image: np.ndarray, mpp: float) -> Path:
    """A generic tiled pyramid."""
    write_pyramid(path, image, mpp=mpp, tile_px=256, compression="jpeg")
    return path


def save_scn(path: Path, image: np.ndarray, mpp: float, *, corner_level0: tuple[int, int]) -> Path:
    """A Leica slide: its field is larger than the image, which ``openslide.bounds-*`` frame."""
    height, width = image.shape[:2]
    x, y = corner_level0
    levels = [image]
    while max(levels[-1].shape) > 300:
        half = (levels[-1].shape[1] // 2, levels[-1].shape[0] // 2)
        levels.append(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA))
    dimensions = "".join(
        f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{n}" ifd="{n}"/>'
        for n, level in enumerate(levels)
    )
    nm = round(mpp * 1000)
    description = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection name="c" sizeX="{(width + 2 * x) * nm}" sizeY="{(height + 2 * y) * nm}">'
        f'<image name="i"><view sizeX="{width * nm}" sizeY="{height * nm}" offsetX="{x * nm}" '
        f'offsetY="{y * nm}"/><scanSettings><objectiveSettings><objective>20</objective>'
        "</objectiveSettings><illuminationSettings><illuminationSource>brightfield"
        "</illuminationSource></illuminationSettings></scanSettings>"
        f"<pixels>{dimensions}</pixels></image></collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for number, level in enumerate(levels):
            tiff.write(
                level,
                tile=(256, 256),
                photometric="rgb",
                compression="jpeg",
                description=None if number else description,
                metadata=None,
                resolution=(10_000 / mpp / 2**number,) * 2,
                resolutionunit="CENTIMETER",
            )
    return path


def _has_three(engine: Engine) -> bool:
    return engine.classify(np.zeros((1, 8, 8, 3), np.uint8)).shape[1] == 3
