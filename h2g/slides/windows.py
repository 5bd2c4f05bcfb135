"""Windows of a slide's low-resolution image: where they lie, what they hold, how they are blended.

A network that sees windows sees every slide at one scale. H2G-Net stretches each slide onto one
square instead, so what it sees depends on the slide's size (paper section 3.3).
"""

from __future__ import annotations

import math

import numpy as np

from h2g.recipes.preprocessing import WindowSettings
from h2g.slides.heatmap import Heatmap

# (x, y) of a window in pixels of the image; below 0 if the image is smaller than the window.
Corner = tuple[int, int]


def window_corners(size_px: tuple[int, int], windows: WindowSettings) -> list[Corner]:
    """The corners of the windows that cover an image, row by row.

    On each axis, the first and the last window touch the image's edges, and the others lie evenly
    between them. An axis shorter than a window has one, which is centred on it.

    Args:
        size_px: (width, height) of the image.
    """
    xs, ys = (_starts(length, windows) for length in size_px)
    return [(x, y) for y in ys for x in xs]


def cut_image(image: np.ndarray, corner: Corner, side_px: int, *, fill: int) -> np.ndarray:
    """A window of an image, (side_px, side_px, ...); pixels outside the image are ``fill``."""
    x, y = corner
    height, width = image.shape[:2]
    window = np.full((side_px, side_px, *image.shape[2:]), fill, image.dtype)
    left, top = max(0, -x), max(0, -y)
    part = image[max(0, y) : min(height, y + side_px), max(0, x) : min(width, x + side_px)]
    window[top : top + part.shape[0], left : left + part.shape[1]] = part
    return window


def cut_heatmap(
    heatmap: Heatmap, size_px: tuple[int, int], corner: Corner, side_px: int
) -> np.ndarray:
    """A window of a heatmap at an image's resolution, bilinear between the centres of cells.

    A pixel is placed by its level-0 coordinates. The grid is never stretched.

    Args:
        size_px: (width, height) of an image of the slide's whole field.
        corner, side_px: the window, in pixels of that image.
    Returns:
        (side_px, side_px, C) float32; 0 outside the slide's field.
    """
    pixel_cells = [side / heatmap.step_level0 for side in heatmap.frame.pixel_level0(size_px)]
    rows, cols = heatmap.values.shape[:2]
    row, along_y = _interpolation(corner[1], side_px, size_px[1], pixel_cells[1], rows)
    col, along_x = _interpolation(corner[0], side_px, size_px[0], pixel_cells[0], cols)
    cells = heatmap.values[row : row + along_y.shape[1], col : col + along_x.shape[1]]
    return np.einsum("yr,xc,rck->yxk", along_y, along_x, cells, optimize=True)


class WindowBlend:
    """The class probabilities of a slide, blended from those of its windows.

    A window counts most at its centre, and falls off linearly to its edges on both axes.
    """

    def __init__(self, size_px: tuple[int, int], windows: WindowSettings) -> None:
        """
        Args:
            size_px: (width, height) of the image.
        """
        self._size_px = size_px
        self._windows = windows
        self._sum: np.ndarray | None = None
        side = windows.side_px
        self._weight = (np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5).astype(np.float32)

    def add(self, corner: Corner, probabilities: np.ndarray) -> None:
        """Adds the result of one window, (side_px, side_px, C) float32."""
        width, height = self._size_px
        if self._sum is None:
            self._sum = np.zeros((height, width, probabilities.shape[-1]), np.float32)
        x, y = corner
        side = self._windows.side_px
        left, right = max(0, x), min(width, x + side)
        top, bottom = max(0, y), min(height, y + side)
        weighted = probabilities * (self._weight[:, None] * self._weight)[..., None]
        part = weighted[top - y : bottom - y, left - x : right - x]
        self._sum[top:bottom, left:right] += part

    def field(self) -> np.ndarray:
        """The blended probabilities once all windows were added, (height, width, C) float32."""
        if self._sum is None:
            raise ValueError("no window was added")
        width, height = self._size_px
        # The windows lie on a grid, so their summed weights are a product of those of both axes.
        self._sum /= self._weights(height)[:, None, None]
        self._sum /= self._weights(width)[:, None]
        return self._sum

    def _weights(self, length: int) -> np.ndarray:
        """Summed weights of the windows at each pixel of an axis."""
        side = self._windows.side_px
        total = np.zeros(length, np.float32)
        for start in _starts(length, self._windows):
            first, last = max(0, start), min(length, start + side)
            total[first:last] += self._weight[first - start : last - start]
        return total


def _starts(length: int, windows: WindowSettings) -> list[int]:
    """The starts of the windows on an axis of ``length`` pixels."""
    side = windows.side_px
    if length <= side:
        return [-((side - length) // 2)]
    count = math.ceil((length - side) / (side * (1 - windows.overlap))) + 1
    return np.linspace(0, length - side, count).round().astype(int).tolist()


def _interpolation(
    start: int, count: int, length: int, pixel_cells: float, cells: int
) -> tuple[int, np.ndarray]:
    """How ``count`` pixels of an axis follow from its cells.

    Args:
        start: the first pixel.
        length: pixels of the image on this axis; those outside it follow from no cell.
        pixel_cells: side of a pixel in cells.
        cells: number of cells on this axis.
    Returns:
        The first cell that is needed, and the weights (count, needed cells) float32 from it on.
    """
    pixels = np.arange(start, start + count)
    positions = np.clip((pixels + 0.5) * pixel_cells - 0.5, 0, cells - 1)
    lower = positions.astype(int)
    upper = np.minimum(lower + 1, cells - 1)
    share = (positions - lower).astype(np.float32)
    first = int(lower[0])
    weights = np.zeros((count, int(upper[-1]) - first + 1), np.float32)
    weights[np.arange(count), lower - first] = 1 - share
    weights[np.arange(count), upper - first] += share
    weights[(pixels < 0) | (pixels >= length)] = 0
    return first, weights
