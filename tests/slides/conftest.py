"""Slides that the tests of h2g.slides write, and the real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

WriteSlide = Callable[..., Path]


@pytest.fixture
def cmu() -> Path:
    return Path(__file__).parents[1] / "data" / "CMU-1-Small-Region.svs"


@pytest.fixture
def picture() -> np.ndarray:
    """(1024, 1536, 3) uint8: smooth colours, so that averages differ everywhere."""
    small = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    return cv2.resize(small, (1536, 1024), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def write_slide(tmp_path: Path) -> WriteSlide:
    """Writes a tiled, lossless pyramid; ``description`` starting with Aperio makes it an SVS."""

    def write(
        rgb: np.ndarray,
        *,
        name: str = "slide.svs",
        downsamples: Sequence[int] = (),
        description: str | None = "Aperio Test|AppMag = 20|MPP = 0.5",
        dots_per_cm: float | None = None,
        tile_px: int = 256,
        compression: str = "deflate",
    ) -> Path:
        path = tmp_path / name
        options = {
            "photometric": "rgb",
            "tile": (tile_px, tile_px),
            "compression": compression,
            "metadata": None,
        }
        if dots_per_cm:
            options |= {"resolution": (dots_per_cm, dots_per_cm), "resolutionunit": "CENTIMETER"}
        with tifffile.TiffWriter(path) as tiff:
            tiff.write(rgb, description=description, **options)
            for downsample in downsamples:
                size = (rgb.shape[1] // downsample, rgb.shape[0] // downsample)
                level = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
                tiff.write(level, subfiletype=1, description=description, **options)
        return path

    return write
