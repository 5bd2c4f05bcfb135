"""Blobs with irregular outlines, and free places for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from h2g.phantom.noise import smooth_noise

FAR = -1e3  # distance in cells to a blob if there is none


@dataclass(frozen=True)
class Place:
    """A position in cells of the plan."""

    row: float
    col: float


@dataclass(frozen=True)
class Blob:
    """An irregular ellipse in cells of the plan.

    Attributes:
        rough: irregularity at a large scale, as a share of the radius.
        bays: depth in cells of the outline's small bays.
    """

    place: Place
    radius: float
    rough: float
    bays: float = 0.0


def no_blobs(shape: tuple[int, int]) -> np.ndarray:
    return np.full(shape, FAR, np.float32)


def draw_blob(distance: np.ndarray, blob: Blob, rng: np.random.Generator, *, margin: float) -> None:
    """Raises ``distance`` to the blob's: cells to its outline, positive inside.

    Args:
        distance: (rows, cols) float32, changed in place within the blob's window.
        margin: number of cells beyond the outline that are drawn.
    """
    flattening, angle = rng.uniform(0.78, 1.0), rng.uniform(0, np.pi)
    reach = int(blob.radius * (1.3 + 2 * blob.rough) / flattening + margin) + 2
    centre = int(blob.place.row), int(blob.place.col)
    rows, cols = (
        slice(max(0, middle - reach), min(size, middle + reach))
        for middle, size in zip(centre, distance.shape, strict=True)
    )
    window = distance[rows, cols]
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) - blob.place.row)[:, None]
    x = (np.arange(cols.start, cols.stop, dtype=np.float32) - blob.place.col)[None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    value = blob.radius - np.hypot(along * flattening, across / flattening)
    waves = smooth_noise(rng, window.shape, cells=0.7 * blob.radius)
    value += blob.rough * blob.radius * waves
    if blob.bays > 0:
        value += blob.bays * smooth_noise(rng, window.shape, cells=max(3.0, 3.5 * blob.bays))
    np.maximum(window, value.astype(np.float32), out=window)


@dataclass
class Room:
    """Free tissue, and the discs that are already taken."""

    distance: np.ndarray  # (rows, cols) float32, distance in cells to tissue that is not free
    taken: list[tuple[Place, float]] = field(default_factory=list)

    @classmethod
    def of(cls, free: np.ndarray) -> Room:
        padded = cv2.copyMakeBorder(free.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        return cls(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1])

    def find(
        self, rng: np.random.Generator, *, radius: float, apart: float, tries: int = 60
    ) -> Place | None:
        """Takes a random place with ``radius`` free cells around it; None if no try succeeds.

        Later places stay ``apart`` cells away from it.
        """
        for _ in range(tries):
            place = self._random(rng)
            if self._around(place) >= radius:
                self.taken.append((place, radius + apart))
                return place
        return None

    def roomiest(
        self, rng: np.random.Generator, *, radius: float, apart: float, tries: int = 160
    ) -> Place:
        """Takes the best of some random places: with ``radius`` free cells, or with the most."""
        places = [self._random(rng) for _ in range(tries)]
        best = max(places, key=lambda place: min(self._around(place), radius))
        self.taken.append((best, radius + apart))
        return best

    def _random(self, rng: np.random.Generator) -> Place:
        rows, cols = self.distance.shape
        return Place(int(rng.integers(rows)), int(rng.integers(cols)))

    def _around(self, place: Place) -> float:
        gaps = (
            float(np.hypot(place.row - other.row, place.col - other.col)) - radius
            for other, radius in self.taken
        )
        return min([float(self.distance[int(place.row), int(place.col)]), *gaps])


def without_specks(mask: np.ndarray, *, least_cells: float) -> np.ndarray:
    """``mask`` without components and holes smaller than a square of side ``least_cells``."""
    result = mask.astype(np.uint8)
    for value in (1, 0):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (result == value).astype(np.uint8), connectivity=4
        )
        small = stats[:, cv2.CC_STAT_AREA] < least_cells**2
        small[0] = False  # label 0 is the rest of the mask
        result[small[labels]] = 1 - value
    return result.astype(bool)
