"""Tissue masks of the whole field, by one of three rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from h2g.files import replacing
from h2g.recipes.preprocessing import TissueSettings
from h2g.slides.frame import Frame
from h2g.slides.planes import Plane, read_plane
from h2g.slides.slide import Slide

# Converters fill unscanned areas with black and a little noise; tissue is never as dark.
NEAR_BLACK = 16
# Hues of green and blue ink, in OpenCV's steps of two degrees; stains lie outside them. Dust and
# edges of cells have such hues too, in up to 1.3 % of the tissue of real slides.
INK_HUES, INK_SATURATION = (35, 115), 80
# Share of the tissue above which such pixels are told.
DOUBTFUL_SHARE = 0.03
OUTLINE_RGB = (0, 140, 60)


@dataclass(frozen=True)
class TissueMask:
    """Tissue of the whole field.

    Attributes:
        mask: (h, w) bool, true for tissue; pixels lie as in :class:`~h2g.slides.planes.Plane`.
        frame: coordinates of the slide.
        problems: phrases for the user about what else may count as tissue.
    """

    mask: np.ndarray
    frame: Frame
    problems: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of the field that is tissue."""
        return float(self.mask.mean())

    @property
    def area_mm2(self) -> float:
        return self.share * self.frame.pixel_mm2((1, 1))


def find_tissue(slide: Slide, settings: TissueSettings) -> TissueMask:
    """The tissue of a slide; SlideError if a part cannot be read."""
    return tissue_of_plane(read_tissue_plane(slide, settings), settings)


def read_tissue_plane(slide: Slide, settings: TissueSettings) -> Plane:
    """The image that tissue is found in; SlideError if a part cannot be read."""
    return read_plane(slide, settings.mpp, coarsest=settings.level)


def tissue_of_plane(plane: Plane, settings: TissueSettings) -> TissueMask:
    """The tissue of an image of the slide, and what else seems to count as tissue."""
    tissue = TissueMask(tissue_of_rgb(plane.rgb, settings), plane.frame)
    hsv = cv2.cvtColor(plane.rgb, cv2.COLOR_RGB2HSV)
    doubtful = {
        "green or blue, perhaps ink of a pen": cv2.inRange(
            hsv, (INK_HUES[0], INK_SATURATION, NEAR_BLACK), (INK_HUES[1], 255, 255)
        ),
        "nearly black, perhaps an area that was not scanned": cv2.inRange(
            hsv, (0, 0, 0), (255, 255, NEAR_BLACK - 1)
        ),
    }
    problems = []
    for what, pixels in doubtful.items():
        area_mm2 = TissueMask((pixels > 0) & tissue.mask, plane.frame).area_mm2
        if area_mm2 > DOUBTFUL_SHARE * tissue.area_mm2:
            problems.append(f"{area_mm2:.3g} mm2 of the tissue are {what}")
    return replace(tissue, problems=tuple(problems))


def tissue_of_rgb(rgb: np.ndarray, settings: TissueSettings) -> np.ndarray:
    """Mask of an (h, w, 3) uint8 image, (h, w) bool: the rule, then its closings in order."""
    mask: np.ndarray = RULES[settings.rule](rgb, settings.threshold).astype(np.uint8)
    element = _disc if settings.rule == "white-distance" else _square
    for size_px in settings.closing_px:
        # Outside the image, a dilation finds no tissue and an erosion finds only tissue.
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, element(size_px))
    return mask.astype(bool)


def write_tissue(tissue: TissueMask, path: Path) -> None:
    """Writes the mask of the whole field as a PNG of 0 and 255."""
    with replacing(path) as temporary:
        image = Image.fromarray(tissue.mask.astype(np.uint8) * 255)
        image.save(temporary, compress_level=3)


def write_preview(plane: Plane, tissue: TissueMask, path: Path) -> None:
    """Writes the image of :func:`draw_preview` as PNG."""
    with replacing(path) as temporary:
        Image.fromarray(draw_preview(plane, tissue)).save(temporary, compress_level=3)


def draw_preview(plane: Plane, tissue: TissueMask) -> np.ndarray:
    """The image with glass faded and tissue outlined, (h, w, 3) uint8."""
    height, width = plane.rgb.shape[:2]
    mask = cv2.resize(
        tissue.mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    )
    preview = plane.rgb.copy()
    glass = mask == 0
    preview[glass] = 255 - (255 - preview[glass]) // 3
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(preview, outlines, -1, OUTLINE_RGB, max(1, max(width, height) // 1000))
    return preview


def _saturation(rgb: np.ndarray) -> np.ndarray:
    """HSV saturation, (h, w) uint8; 0 for nearly black pixels, where it is noise."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    return np.where(hsv[..., 2] < NEAR_BLACK, 0, hsv[..., 1]).astype(np.uint8)


def _saturated(rgb: np.ndarray, threshold: float) -> np.ndarray:
    """The rule of H2G-Net, section 2.2."""
    return _saturation(rgb) > threshold


def _far_from_white(rgb: np.ndarray, threshold: float) -> np.ndarray:
    """The rule of FAST's TissueSegmentation.

    Black is not tissue, because FAST reads areas that were not scanned as black.
    """
    squares = (255 - np.arange(256, dtype=np.int32)) ** 2
    distance2 = squares[rgb[..., 0]]
    distance2 += squares[rgb[..., 1]]
    distance2 += squares[rgb[..., 2]]
    return (distance2 > threshold**2) & rgb.any(axis=2)


def _otsu(rgb: np.ndarray, _threshold: float) -> np.ndarray:
    """The rule of H2G-Net's design I: Otsu's threshold of the saturation."""
    saturation = _saturation(rgb)
    threshold, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return saturation > threshold


def _otsu_of_hue_and_saturation(rgb: np.ndarray, _threshold: float) -> np.ndarray:
    """The rule of HI-Net, section 3.1: above Otsu's thresholds of both hue and saturation.

    The paper joins the two masks without saying how. Glass has hues of all kinds, so only pixels
    that are in both count.
    """
    hue = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 0]
    threshold, _ = cv2.threshold(hue, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return (hue > threshold) & _otsu(rgb, 0)


RULES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "saturation": _saturated,
    "white-distance": _far_from_white,
    "otsu": _otsu,
    "otsu-hs": _otsu_of_hue_and_saturation,
}


def _square(size_px: int) -> np.ndarray:
    return np.ones((size_px, size_px), np.uint8)


def _disc(size_px: int) -> np.ndarray:
    """FAST's structuring element: all pixels within ``size_px // 2`` of the centre."""
    radius = size_px // 2
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)
