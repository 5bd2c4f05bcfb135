"""Slides drawn by the tests, and networks that recognise tumour by its colour."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import tifffile

from h2g.engines.engine import (
    HEATMAP_INPUT,
    IMAGE_INPUT,
    PATCH_INPUT,
    Feed,
    Key,
    Network,
    Shape,
    one_by_one,
)
from h2g.prediction.model_files import ModelFiles
from h2g.recipes.preprocessing import LowResolutionSettings, PatchSettings, Preprocessing
from h2g.slides.tiff_files import write_pyramid

GLASS = (255, 255, 255)
STROMA = (235, 160, 200)
TUMOUR = (120, 60, 150)
IMMUNE = (90, 200, 90)

PREPROCESSING = Preprocessing(
    patch=PatchSettings(mpp=1.0, size_px=32, min_tissue=0.25),
    low_resolution=LowResolutionSettings(min_side_px=512),
)


class ColourNetwork:
    """Base of the two networks; each class except background has a colour."""

    engine = "colour"
    device = "CPU"
    precision = "float32"
    inputs: ClassVar[dict[str, Shape]]

    def __init__(self, *, classes: int = 2) -> None:
        self.classes = classes

    def run(self, inputs: Feed) -> np.ndarray:
        raise NotImplementedError

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return one_by_one(self.run, batches)

    def probabilities(self, rgb: np.ndarray) -> np.ndarray:
        """Probabilities of each pixel: 1 for the class whose colour it has, else 0."""
        near = [
            np.abs(rgb.astype(np.int16) - colour).max(axis=-1) < 50 for colour in (TUMOUR, IMMUNE)
        ]
        tumour = near[: self.classes - 1]
        background = ~np.logical_or.reduce(tumour)
        return np.stack([background, *tumour], axis=-1).astype(np.float32)


class ColourClassifier(ColourNetwork):
    """A classifier whose probability of a class is the share of pixels in its colour."""

    inputs: ClassVar[dict[str, Shape]] = {PATCH_INPUT: (None, None, None, 3)}

    def __init__(self, *, classes: int = 2) -> None:
        super().__init__(classes=classes)
        self.classified: list[int] = []  # sizes of the batches

    def run(self, inputs: Feed) -> np.ndarray:
        patches = inputs[PATCH_INPUT]
        self.classified.append(len(patches))
        return self.probabilities(patches).mean(axis=(1, 2), dtype=np.float32)


class ColourRefinement(ColourNetwork):
    """A refinement that gives each pixel the class of its colour, and ignores the heatmap."""

    inputs: ClassVar[dict[str, Shape]] = {
        IMAGE_INPUT: (1, None, None, 3),
        HEATMAP_INPUT: (1, None, None, None),
    }

    def __init__(self, *, classes: int = 2, side_px: int = 768) -> None:
        super().__init__(classes=classes)
        self._size_px = (side_px, side_px)

    def run(self, inputs: Feed) -> np.ndarray:
        (image,), (heatmap,) = inputs[IMAGE_INPUT], inputs[HEATMAP_INPUT]
        assert heatmap.shape[2] == self.classes - 1
        resized = cv2.resize(
            image.astype(np.float32), self._size_px, interpolation=cv2.INTER_LINEAR
        )
        return self.probabilities(resized)[np.newaxis]


@dataclass(frozen=True)
class ColourModel(ModelFiles):
    """A model whose networks are open already.

    Attributes:
        opened: name of the stage and network, in order.
    """

    opened: tuple[tuple[str, Network], ...] = ()

    def open_networks(self, batch_size: int) -> dict[str, Network]:
        return dict(self.opened)


def colour_model(
    classifier: ColourClassifier | None = None,
    refinement: ColourRefinement | None = None,
    *,
    preprocessing: Preprocessing = PREPROCESSING,
) -> ColourModel:
    """A model of colour networks: a classifier and, if given, a refinement network."""
    classifier = classifier or ColourClassifier()
    opened: list[tuple[str, Network]] = [("patch", classifier)]
    if refinement is not None:
        opened.append(("refinement", refinement))
    return ColourModel(
        path=Path("colour-rule"),
        recipe="colour",
        class_names=("background", "tumour", "immune")[: classifier.classes],
        preprocessing=preprocessing,
        sha256={"patch/model.keras": "0" * 64},
        networks={},
        takes_patches=True,
        opened=tuple(opened),
    )


def draw(
    size_px: tuple[int, int],
    *,
    tissue: np.ndarray | None = None,
    shapes: dict[tuple[int, int, int], list[np.ndarray]] | None = None,
) -> np.ndarray:
    """Draws tissue and coloured shapes on white glass.

    Without a tissue polygon, all is tissue. Overlapping polygons of one colour cut holes.
    """
    image = np.full((size_px[1], size_px[0], 3), GLASS, np.uint8)
    if tissue is None:
        image[:] = STROMA
    else:
        cv2.fillPoly(image, [tissue.astype(np.int32)], STROMA)
    for colour, polygons in (shapes or {}).items():
        cv2.fillPoly(image, [polygon.astype(np.int32) for polygon in polygons], colour)
    return image


def save_tiff(path: Path, image: np.ndarray, mpp: float) -> Path:
    """Writes a generic tiled pyramid."""
    write_pyramid(path, image, mpp=mpp, tile_px=256, compression="jpeg")
    return path


def save_scn(path: Path, image: np.ndarray, mpp: float, *, corner_level0: tuple[int, int]) -> Path:
    """Writes a Leica slide whose field is larger than the image in ``openslide.bounds-*``."""
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
