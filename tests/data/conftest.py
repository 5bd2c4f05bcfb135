"""Slides whose every patch says where it is from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from h2g.data.sampler import SlidePatches
from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.reading import open_slide, plan_patches

SIZE_PX = 32
SIDE = 16  # patches a side
WriteCoded = Callable[..., SlidePatches]


@pytest.fixture
def write_coded(tmp_path: Path) -> WriteCoded:
    """Writes a lossless slide of 16 x 16 patches of 32 px at 1 um/px; the patch in row r and
    column c has the colour (10 * number, r, c). Odd columns are class 1, even ones background.
    """

    def write(number: int, *, grade: str = "1", classes: tuple[int, ...] = (0, 1)) -> SlidePatches:
        codes = np.zeros((SIDE, SIDE, 3), np.uint8)
        codes[..., 0] = 10 * number
        codes[..., 1], codes[..., 2] = np.mgrid[:SIDE, :SIDE]
        pixels = codes.repeat(SIZE_PX, axis=0).repeat(SIZE_PX, axis=1)
        path = tmp_path / f"coded_{number}.svs"
        tifffile.imwrite(
            path,
            pixels,
            tile=(SIZE_PX, SIZE_PX),
            photometric="rgb",
            compression="deflate",
            description="Aperio Test|AppMag = 10|MPP = 1.0",
            metadata=None,
        )
        with open_slide(path) as slide:
            plan = plan_patches(slide.info, PatchSettings(mpp=1.0, size_px=SIZE_PX))
        row, col = (axis.ravel() for axis in np.mgrid[:SIDE, :SIDE])
        kept = np.isin(col % 2, classes)
        return SlidePatches(
            name=path.stem,
            path=path,
            mpp=None,
            grade=grade,
            plan=plan,
            xy_level0=(np.stack([col, row], axis=1) * SIZE_PX)[kept].astype(np.int64),
            labels=(col % 2)[kept].astype(np.int8),
        )

    return write
