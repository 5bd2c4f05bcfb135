"""Slides whose levels are no whole parts of each other, as scanners write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import tifffile

GLASS = 255


def write_odd_slide(
    path: Path,
    *,
    size_px: tuple[int, int],
    downsamples: Sequence[int],
    objective: int | None,
    mpp: float,
    mpp_y: float | None = None,
    seed: int = 0,
) -> Path:
    """Blotches of stain on glass, lossless; the Aperio format, sizes of levels rounded down.

    Args:
        mpp_y: along y, where it is another; the slide is then a plain TIFF with resolution tags.
    """
    rgb = draw_blotches(size_px, seed=seed)
    told = f"|AppMag = {objective}" if objective else ""
    dots = (10_000 / mpp, 10_000 / (mpp_y or mpp))
    options = {
        "photometric": "rgb",
        "tile": (256, 256),
        "compression": "deflate",
        "metadata": None,
        "description": f"Aperio Test{told}|MPP = {mpp:g}",
    }
    if mpp_y:
        options |= {"description": None, "resolution": dots, "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(rgb, **options)
        for downsample in downsamples:
            size = (rgb.shape[1] // downsample, rgb.shape[0] // downsample)
            level = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            tiff.write(level, subfiletype=1, **options)
    return path


def draw_blotches(size_px: tuple[int, int], *, seed: int) -> np.ndarray:
    """(h, w, 3) uint8: half of it stained, in colours that change over some hundred pixels."""
    rng = np.random.default_rng(seed)
    where = cv2.resize(rng.random((24, 24)), size_px, interpolation=cv2.INTER_CUBIC) > 0.5
    colours = rng.integers((70, 30, 90), (210, 160, 220), (12, 12, 3)).astype(np.uint8)
    stain = cv2.resize(colours, size_px, interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(-12, 13, (size_px[1], size_px[0], 1))
    stained = np.clip(stain.astype(int) + grain, 1, 254)
    return np.where(where[..., None], stained, GLASS).astype(np.uint8)
