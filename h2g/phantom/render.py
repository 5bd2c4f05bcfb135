"""Renders plan and cells to pixels in blocks, each of which depends only on its position."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from h2g.phantom.anatomy import GROUNDS, Ground, Tissue
from h2g.phantom.cells import Cells, Marks
from h2g.phantom.optics import EOSIN_LEVEL, GlandTables, Scan, transmission_tables
from h2g.phantom.plan import Plan
from h2g.phantom.stamps import NUCLEUS_LEVEL
from h2g.phantom.textures import MIDDLE, PERIOD_PX, Textures, textures

BLOCK_PX = 512  # divides PERIOD_PX; small enough for a processor's cache
HALO_PX = 2  # reach of the scanner's blur
SIDE_PX = BLOCK_PX + 2 * HALO_PX
FOLD = 0.8  # share of the stain that the second layer of a fold adds


class Renderer:
    """Renders one slide; all stains are in 8-bit units."""

    def __init__(
        self, plan: Plan, cells: Cells, scan: Scan, grounds: Mapping[Tissue, Ground] = GROUNDS
    ) -> None:
        self._plan, self._cells, self._scan = plan, cells, scan
        self._textures = _with_halo(textures(plan.frame.mpp))
        self._maps = _ground_maps(plan, grounds)
        self._busy = plan.classes != Tissue.GLASS
        for overlay in plan.overlays:
            self._busy |= overlay.amount > 0
        self._through_haematoxylin, self._through_eosin = transmission_tables(scan)
        self._gland = GlandTables.make()

    def rows(self, *, threads: int = 1) -> Iterator[np.ndarray]:
        """The slide from top to bottom in bands of up to BLOCK_PX rows, (rows, width, 3) uint8."""
        width, height = self._plan.frame.size_px
        with ThreadPoolExecutor(threads) as pool:
            for top in range(0, height, BLOCK_PX):
                cells = self._cells.between(top - HALO_PX, top + BLOCK_PX + HALO_PX)
                block = functools.partial(self._block, cells, top)
                band = np.concatenate(list(pool.map(block, range(0, width, BLOCK_PX))), axis=1)
                yield band[: height - top, :width]

    def _block(self, cells: Cells, top: int, left: int) -> np.ndarray:
        """One block, (BLOCK_PX, BLOCK_PX, 3) uint8; glass beyond the slide."""
        if not self._crop(self._busy, top, left).any():
            glass = np.array(self._scan.stain.glass, np.uint8)
            return np.broadcast_to(glass, (BLOCK_PX, BLOCK_PX, 3))
        haematoxylin, eosin = self._ground(top, left)
        glands, loose, lining = (
            _stamped(marks, top, left) for marks in (cells.glands, cells.loose, cells.lining)
        )
        if glands is not None:
            is_open = cv2.LUT(glands, self._gland.is_open)
            haematoxylin = cv2.add(haematoxylin, cv2.LUT(glands, self._gland.haematoxylin))
            haematoxylin = cv2.multiply(haematoxylin, is_open, scale=1 / 255)
            eosin = cv2.add(eosin, cv2.LUT(glands, self._gland.eosin))
            eosin = cv2.multiply(eosin, is_open, scale=1 / 255)
            if loose is not None:
                loose = cv2.multiply(loose, cv2.LUT(glands, self._gland.between), scale=1 / 255)
            if lining is not None:
                lining = cv2.multiply(lining, is_open, scale=1 / 255)
        for nuclei in (loose, lining):
            if nuclei is not None:
                haematoxylin = cv2.add(haematoxylin, nuclei)
        if self._crop(self._plan.fold, top, left).any():
            double = self._enlarged(self._plan.fold, top, left)
            haematoxylin, eosin = (
                cv2.add(stain, cv2.multiply(stain, double, scale=FOLD / 255))
                for stain in (haematoxylin, eosin)
            )
        return self._scanned(haematoxylin, eosin, top, left)

    def _ground(self, top: int, left: int) -> tuple[np.ndarray, np.ndarray]:
        """Haematoxylin and eosin between the nuclei, (SIDE_PX, SIDE_PX) uint8 each."""
        haematoxylin, eosin, fibres, grain, fat = cv2.split(self._enlarged(self._maps, top, left))
        texture, window = self._textures, _texture_window(top, left)
        eosin = _textured(eosin, texture.fibres[window], fibres, strength=1.0)
        eosin = _textured(eosin, texture.grain[window], grain, strength=0.8)
        eosin = cv2.add(eosin, cv2.multiply(texture.fat[window], fat, scale=0.3 / 255))
        haematoxylin = _textured(haematoxylin, texture.grain[window], grain, strength=0.35)
        return haematoxylin, eosin

    def _scanned(
        self, haematoxylin: np.ndarray, eosin: np.ndarray, top: int, left: int
    ) -> np.ndarray:
        """RGB after stains, ink on the glass, and the scanner's optics and noise."""
        rgb = cv2.multiply(
            cv2.LUT(cv2.merge([haematoxylin] * 3), self._through_haematoxylin),
            cv2.LUT(cv2.merge([eosin] * 3), self._through_eosin),
            scale=1 / 255,
        )
        for overlay in self._plan.overlays:
            if self._crop(overlay.amount, top, left).any():
                amount = self._enlarged(overlay.amount, top, left)
                absorbed = cv2.merge(
                    [cv2.convertScaleAbs(amount, alpha=1 - value / 255) for value in overlay.rgb]
                )
                rgb = cv2.multiply(rgb, cv2.bitwise_not(absorbed), scale=1 / 255)
        stain = self._scan.stain
        sigma = min(stain.blur_um / self._plan.frame.mpp, 1.5)
        if sigma > 0.2:
            size = 3 if sigma < 0.9 else 2 * HALO_PX + 1
            rgb = cv2.GaussianBlur(rgb, (size, size), sigma)
        noise, strength = self._textures.noise[_texture_window(top, left)], stain.noise / 16
        rgb = cv2.addWeighted(rgb, 1.0, noise, strength, -MIDDLE * strength)
        return rgb[HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]

    def _cell_window(self, top: int, left: int) -> tuple[int, int, int, int]:
        """First and last row, first and last column of the cells around a block.

        They cover the block, its halo and one more cell on each side, and may lie outside the plan.
        """
        size = self._plan.frame.cell_px
        ends = (
            (first // size - 1, (first + SIDE_PX) // size + 2)
            for first in (top - HALO_PX, left - HALO_PX)
        )
        (first_row, last_row), (first_col, last_col) = ends
        return first_row, last_row, first_col, last_col

    def _crop(self, raster: np.ndarray, top: int, left: int) -> np.ndarray:
        first_row, last_row, first_col, last_col = self._cell_window(top, left)
        return raster[max(0, first_row) : last_row, max(0, first_col) : last_col]

    def _enlarged(self, raster: np.ndarray, top: int, left: int) -> np.ndarray:
        """The plan's raster at the pixels of a block and its halo, bilinearly interpolated."""
        first_row, last_row, first_col, last_col = self._cell_window(top, left)
        rows, cols = raster.shape[:2]
        cells = cv2.copyMakeBorder(
            self._crop(raster, top, left),
            max(0, -first_row),
            max(0, last_row - rows),
            max(0, -first_col),
            max(0, last_col - cols),
            cv2.BORDER_REPLICATE,
        )
        size = self._plan.frame.cell_px
        large = cv2.resize(cells, None, fx=size, fy=size, interpolation=cv2.INTER_LINEAR)
        y, x = top - HALO_PX - first_row * size, left - HALO_PX - first_col * size
        return np.ascontiguousarray(large[y : y + SIDE_PX, x : x + SIDE_PX])


def _ground_maps(plan: Plan, grounds: Mapping[Tissue, Ground]) -> np.ndarray:
    """Stains and weights of textures on the plan's cells, (rows, cols, 5) uint8.

    The channels are haematoxylin, eosin, and the weights of fibres, grain and fat.
    """
    values = [grounds[tissue] for tissue in Tissue]
    mottle = np.array([ground.mottle for ground in values], np.float32)
    shade = plan.shade + mottle[plan.classes] * plan.mottle
    maps = np.empty((*plan.classes.shape, 5), np.uint8)
    for channel, amounts in enumerate(
        (
            [ground.haematoxylin * NUCLEUS_LEVEL for ground in values],
            [ground.eosin * EOSIN_LEVEL for ground in values],
        )
    ):
        stained = np.array(amounts, np.float32)[plan.classes] * shade
        maps[..., channel] = np.round(np.clip(stained, 0, 255))
    weights = [(100 * ground.fibres, 100 * ground.grain, 255 * ground.fat) for ground in values]
    maps[..., 2:] = np.round(weights).astype(np.uint8)[plan.classes]
    return maps


def _textured(
    stain: np.ndarray, texture: np.ndarray, weight: np.ndarray, *, strength: float
) -> np.ndarray:
    """Adds a texture around MIDDLE in proportion to a weight, and subtracts MIDDLE again."""
    stain = cv2.add(stain, cv2.multiply(texture, weight, scale=strength / 255))
    return cv2.subtract(stain, cv2.convertScaleAbs(weight, alpha=MIDDLE * strength / 255))


def _stamped(kinds: tuple[Marks, ...], top: int, left: int) -> np.ndarray | None:
    """The stamps of a block and its halo, (SIDE_PX, SIDE_PX) uint8; None without stamps.

    Where stamps overlap, the larger value counts.
    """
    margin = max(marks.stamps.side for marks in kinds)
    side = SIDE_PX + 2 * margin
    field: np.ndarray | None = None
    for marks in kinds:
        size = marks.stamps.side
        offset = HALO_PX + margin - size // 2
        corner = marks.xy_level0 - (left - offset, top - offset)
        inside = ((corner >= 0) & (corner <= side - size)).all(axis=1)
        if not inside.any():
            continue
        if field is None:
            field = np.zeros((side, side), np.uint8)
        places, variants = corner[inside].tolist(), marks.variant[inside].tolist()
        for (x, y), variant in zip(places, variants, strict=True):
            view = field[y : y + size, x : x + size]
            np.maximum(view, marks.stamps.images[variant], out=view)
    if field is None:
        return None
    return np.ascontiguousarray(field[margin : margin + SIDE_PX, margin : margin + SIDE_PX])


def _with_halo(original: Textures) -> Textures:
    def pad(image: np.ndarray) -> np.ndarray:
        return cv2.copyMakeBorder(image, HALO_PX, HALO_PX, HALO_PX, HALO_PX, cv2.BORDER_WRAP)

    return Textures(*map(pad, (original.fibres, original.fat, original.grain, original.noise)))


def _texture_window(top: int, left: int) -> tuple[slice, slice]:
    y, x = top % PERIOD_PX, left % PERIOD_PX
    return slice(y, y + SIDE_PX), slice(x, x + SIDE_PX)
