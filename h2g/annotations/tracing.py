"""Exact outlines of a mask along the edges of its pixels, including holes.

The four pixels around a grid point show whether an outline has a corner there. In each grid row,
the corners pair up from left to right into horizontal edges. In each grid column, they pair up
from top to bottom into vertical edges. Horizontal and vertical edges in turn form a ring. Pixels
that only touch at a corner become two polygons.

The contours of OpenCV and scikit-image do not run along the pixels' edges, so their areas differ.
GDAL's do (``rasterio.features.shapes``), and the tests compare this module with them. GDAL would
add 110 MB to every installation.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

BAND_ROWS = 1024  # grid rows processed together, to bound memory

# Number of rings that turn at a grid point, by its pixels: NW 1 + NE 2 + SW 4 + SE 8.
TURNS = np.array([0, 1, 1, 0, 1, 0, 2, 1, 1, 2, 0, 1, 0, 1, 1, 0], dtype=np.uint8)
NE_AND_SW, NW_AND_SE = 6, 9  # the two points where rings pass each other


@dataclass(frozen=True)
class Traced:
    """One 4-connected patch of pixels, as open rings of (n, 2) int (x, y) grid points."""

    shell: np.ndarray
    holes: tuple[np.ndarray, ...]


def trace(mask: np.ndarray) -> list[Traced]:
    """The outlines of the non-zero pixels of ``mask`` (h, w).

    Pixel (i, j) is the square from (i, j) to (i + 1, j + 1). The areas add up to the number of
    non-zero pixels.
    """
    mask = (mask != 0).view(np.uint8)
    components = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)[1]
    shells: dict[int, np.ndarray] = {}
    holes: dict[int, list[np.ndarray]] = {}
    for ring in _rings(mask):
        x, y = ring[np.lexsort(ring.T)[0]]  # the leftmost of the topmost points
        if mask[y, x]:
            shells[int(components[y, x])] = ring
        else:  # The pixel above a hole's topmost edge belongs to the patch around the hole.
            holes.setdefault(int(components[y - 1, x]), []).append(ring)
    return [Traced(shell, tuple(holes.get(key, ()))) for key, shell in shells.items()]


def _rings(mask: np.ndarray) -> list[np.ndarray]:
    """All rings, both shells and holes; no ring touches itself."""
    x, y, across, along = _corners(mask)
    points = np.stack([x, y], axis=1)
    across_of, along_of = across.tolist(), along.tolist()
    grid_point = (y * (mask.shape[1] + 1) + x).tolist()
    seen = bytearray(len(across_of))
    rings = []
    for start in range(len(across_of)):
        ring: list[int] = []
        corner = start
        while not seen[corner]:
            other = across_of[corner]
            seen[corner] = seen[other] = 1
            ring += (corner, other)
            corner = along_of[other]
        if ring:
            rings += [points[loop] for loop in _loops(ring, grid_point)]
    return rings


def _corners(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x and y of every turn, and the indices of the turns at the other ends of its horizontal and
    vertical edges."""
    at, codes = _turning_points(mask)
    turns = TURNS[codes]
    second = np.zeros(int(turns.sum()), dtype=bool)  # the eastern of two turns at one point
    second[(np.cumsum(turns) - 1)[turns == 2]] = True
    y, x = np.divmod(np.repeat(at, turns), mask.shape[1] + 1)
    code = np.repeat(codes, turns)
    # The western turn has the point's northern edge when the pixels are NW and SE.
    southern = np.where(code == NE_AND_SW, ~second, second & (code == NW_AND_SE))
    across = _partners(np.arange(len(x)))
    along = _partners(np.lexsort((southern, y, x)))
    return x, y, across, along


def _turning_points(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of the grid points where rings turn, row by row, and their pixels' codes."""
    padded = np.pad(mask, 1)
    places, codes = [], []
    for top in range(0, mask.shape[0] + 1, BAND_ROWS):
        upper = padded[top : top + BAND_ROWS + 1]
        above, below = upper[:-1], upper[1:]
        code = above[:, :-1] + 2 * above[:, 1:] + 4 * below[:, :-1] + 8 * below[:, 1:]
        place = np.flatnonzero(TURNS[code])
        places.append(place + top * (mask.shape[1] + 1))
        codes.append(code.ravel()[place])
    return np.concatenate(places), np.concatenate(codes)


def _partners(order: np.ndarray) -> np.ndarray:
    """Joins the first of ``order`` with the second, the third with the fourth, and so on."""
    partner = np.empty_like(order)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner


def _loops(ring: list[int], grid_point: list[int]) -> list[list[int]]:
    """Cuts ``ring`` where it passes a grid point twice: a polygon's ring must not touch itself."""
    places = [grid_point[corner] for corner in ring]
    if len(set(places)) == len(places):
        return [ring]
    loops: list[list[int]] = []
    path: list[int] = []
    position: dict[int, int] = {}
    for corner, place in zip(ring, places, strict=True):
        if place in position:
            first = position[place]
            loops.append(path[first:])
            for removed in path[first:]:
                del position[grid_point[removed]]
            del path[first:]
        position[place] = len(path)
        path.append(corner)
    return [*loops, path]
