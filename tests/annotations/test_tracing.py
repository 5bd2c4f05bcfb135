import time

import cv2
import numpy as np
import pytest
import shapely

from h2g.annotations.tracing import trace


def picture(*rows: str) -> np.ndarray:
    return np.array([[char == "#" for char in row] for row in rows])


def polygons(mask: np.ndarray) -> list[shapely.Polygon]:
    return [shapely.Polygon(traced.shell, traced.holes) for traced in trace(mask)]


def test_single_pixel_is_its_square() -> None:
    (pixel,) = polygons(picture("...", "..#"))
    assert pixel.equals(shapely.box(2, 1, 3, 2))


def test_nothing_and_everything() -> None:
    assert trace(np.zeros((3, 4), dtype=bool)) == []
    (whole,) = polygons(np.ones((3, 4), dtype=bool))
    assert whole.equals(shapely.box(0, 0, 4, 3))
    assert len(whole.exterior.coords) == 5  # corners only: 4 and the first again


def test_one_pixel_line() -> None:
    (line,) = polygons(picture("#####"))
    assert line.equals(shapely.box(0, 0, 5, 1))


@pytest.mark.parametrize("rows", [("#.", ".#"), (".#", "#.")])
def test_diagonal_neighbours_are_two(rows: tuple[str, ...]) -> None:
    assert sorted(p.area for p in polygons(picture(*rows))) == [1, 1]


def test_hole_and_island_in_it() -> None:
    # 25 pixels, less a hole of 9, and an island of 1 in it.
    found = polygons(picture("#####", "#...#", "#.#.#", "#...#", "#####"))
    assert sorted((p.area, len(p.interiors)) for p in found) == [(1, 0), (16, 1)]


def test_hole_that_touches_the_outside_at_a_corner() -> None:
    # The hole at (1, 1) and the notch at (2, 2) meet in a point: a ring of its own all the same.
    (found,) = polygons(picture("###", "#.#", "##."))
    assert found.is_valid
    assert (found.area, len(found.interiors)) == (7, 1)


def test_holes_that_touch_at_a_corner() -> None:
    (found,) = polygons(picture("####", "#.##", "##.#", "####"))
    assert found.is_valid
    assert (found.area, len(found.interiors)) == (14, 2)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.6, 0.8])
def test_noise_is_traced_exactly(share: float) -> None:
    mask = np.random.default_rng(0).random((80, 61)) < share
    found = polygons(mask)
    assert all(polygon.is_valid for polygon in found)
    assert sum(polygon.area for polygon in found) == mask.sum()
    assert len(found) == cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1
    # Not only as much area, but the same pixels: every pixel's centre lies in a polygon or none.
    y, x = np.mgrid[:80, :61] + 0.5
    inside = shapely.contains_xy(shapely.MultiPolygon(found), x.ravel(), y.ravel())
    np.testing.assert_array_equal(inside.reshape(mask.shape), mask)


def test_large_mask_is_quick() -> None:
    noise = np.random.default_rng(0).standard_normal((4096, 4096)).astype(np.float32)
    mask = cv2.GaussianBlur(noise, (0, 0), 12) > 0
    start = time.process_time()
    found = trace(mask)
    assert time.process_time() - start < 10  # 0.6 s when written
    assert sum(shapely.Polygon(t.shell, t.holes).area for t in found) == mask.sum()
