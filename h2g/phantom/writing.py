"""Writes JPEG pyramids from bands of rows, without holding a whole level in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import cv2
import imagecodecs
import numpy as np
import tifffile

TILE_PX = 256
QUALITY = 80
LEAST_SIDE_PX = 1024  # levels are halved until the shorter side is at most this
BIG_PX = 2**31  # larger slides may not fit into the 4 GB of a classic TIFF

Suffix = Literal["svs", "tiff"]


def level_sizes(size_px: tuple[int, int]) -> list[tuple[int, int]]:
    """(width, height) of every level, each with half the size of the previous one."""
    sizes = [size_px]
    while min(sizes[-1]) > LEAST_SIDE_PX:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def write_slide(
    path: Path,
    bands: Iterable[np.ndarray],
    *,
    size_px: tuple[int, int],
    mpp: float,
    suffix: Suffix,
    threads: int = 1,
) -> None:
    """Writes a slide for OpenSlide, with its mpp and, in ``svs``, its objective power.

    Args:
        bands: the rows of level 0 from top to bottom, each (rows, width, 3) uint8 RGB.
        threads: number of threads for encoding, which does not affect the file.
    """
    big = size_px[0] * size_px[1] > BIG_PX
    with (
        ThreadPoolExecutor(threads) as pool,
        # A TIFF holds level 0 first, so the other levels' tiles wait in a temporary file.
        tempfile.TemporaryFile(dir=path.parent) as spool,
        tifffile.TiffWriter(path, bigtiff=big) as tiff,
    ):
        levels = [_Level(size, spool, pool) for size in level_sizes(size_px)]
        for number, level in enumerate(levels):
            tiles = _level_0_tiles(levels, bands) if number == 0 else level.spooled()
            tiff.write(
                tiles,
                shape=(level.size_px[1], level.size_px[0], 3),
                **_tags(level.size_px, number, size_px, mpp, suffix),
            )
            if number == 0 and suffix == "svs":
                _write_thumbnail(tiff, np.concatenate(levels[-1].rows), size_px, mpp)


class _Level:
    """One level, which takes rows and gives tiles of whole tile rows."""

    def __init__(self, size_px: tuple[int, int], spool: Any, pool: ThreadPoolExecutor) -> None:
        self.size_px = size_px
        # Only the last level keeps its rows, for the thumbnail.
        self.rows: list[np.ndarray] = []
        self._spool, self._pool = spool, pool
        self._places: list[tuple[int, int]] = []
        self._incomplete: list[np.ndarray] = []
        self._missing_rows = size_px[1]

    def tile_rows(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """The tile rows that ``rows`` complete; all but the slide's last are TILE_PX high."""
        self._incomplete.append(rows)
        self._missing_rows -= len(rows)
        block = np.concatenate(self._incomplete) if len(self._incomplete) > 1 else rows
        whole = len(block) if self._missing_rows == 0 else len(block) - len(block) % TILE_PX
        for top in range(0, whole, TILE_PX):
            yield block[top : min(top + TILE_PX, whole)]
        self._incomplete = [block[whole:]]

    def encoded(self, tile_row: np.ndarray) -> Iterator[bytes]:
        lefts = range(0, self.size_px[0], TILE_PX)
        return self._pool.map(_encode, (tile_row[:, left : left + TILE_PX] for left in lefts))

    def keep(self, tile_row: np.ndarray) -> None:
        for tile in self.encoded(tile_row):
            self._places.append((self._spool.seek(0, 2), len(tile)))
            self._spool.write(tile)

    def spooled(self) -> Iterator[bytes]:
        for offset, length in self._places:
            self._spool.seek(offset)
            yield self._spool.read(length)


def _level_0_tiles(levels: list[_Level], bands: Iterable[np.ndarray]) -> Iterator[bytes]:
    """Level 0's tiles from top to bottom; makes the tiles of the other levels at the same time."""
    for band in bands:
        for tile_row in levels[0].tile_rows(band):
            # First, because nothing asks for more after the last tile of level 0.
            _pass_down(levels, 0, tile_row)
            yield from levels[0].encoded(tile_row)


def _pass_down(levels: list[_Level], number: int, tile_row: np.ndarray) -> None:
    if number == len(levels) - 1:
        levels[number].rows.append(tile_row)
        return
    height, width = tile_row.shape[0] // 2, tile_row.shape[1] // 2
    if height:
        even = tile_row[: 2 * height, : 2 * width]
        half = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
        for lower in levels[number + 1].tile_rows(half):
            levels[number + 1].keep(lower)
            _pass_down(levels, number + 1, lower)


def _encode(tile: np.ndarray) -> bytes:
    """A tile as JPEG; at the slide's edge the last pixels are repeated to fill it."""
    rows, cols = tile.shape[:2]
    if (rows, cols) != (TILE_PX, TILE_PX):
        tile = np.pad(tile, ((0, TILE_PX - rows), (0, TILE_PX - cols), (0, 0)), mode="edge")
    encoded = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(tile),
        level=QUALITY,
        colorspace="rgb",
        outcolorspace="ycbcr",
        subsampling="420",
    )
    return bytes(encoded)


def _tags(
    level_px: tuple[int, int],
    number: int,
    size_px: tuple[int, int],
    mpp: float,
    suffix: Suffix,
) -> dict[str, Any]:
    per_cm = 1e4 / mpp * level_px[0] / size_px[0]
    return {
        "dtype": np.uint8,
        "tile": (TILE_PX, TILE_PX),
        "photometric": "ycbcr",
        "planarconfig": "contig",
        "compression": "jpeg",
        "subsampling": (2, 2),
        "subfiletype": 0 if number == 0 or suffix == "svs" else 1,
        "description": _aperio(size_px, level_px, mpp) if suffix == "svs" else None,
        "resolution": (per_cm, per_cm),
        "resolutionunit": "CENTIMETER",
        "metadata": None,
        "software": False,
    }


def _aperio(size_px: tuple[int, int], level_px: tuple[int, int], mpp: float) -> str:
    """The image description from which readers detect an Aperio slide and its magnification."""
    width, height = size_px
    scaled = "" if level_px == size_px else f" -> {level_px[0]}x{level_px[1]}"
    return (
        "Aperio Image Library v12.0.15\n"
        f"{width}x{height} [0,0 {width}x{height}] ({TILE_PX}x{TILE_PX}){scaled} "
        f"JPEG/YCC Q={QUALITY}|AppMag = {10 / mpp:g}|MPP = {mpp:g}"
    )


def _write_thumbnail(
    tiff: tifffile.TiffWriter, image: np.ndarray, size_px: tuple[int, int], mpp: float
) -> None:
    """Writes Aperio's second image, in one strip."""
    scale = 512 / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tiff.write(
        small,
        photometric="rgb",
        compression="deflate",
        rowsperstrip=small.shape[0],
        description=_aperio(size_px, (small.shape[1], small.shape[0]), mpp),
        metadata=None,
        software=False,
    )
