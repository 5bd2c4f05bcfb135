"""Overlays, pixel by pixel."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from h2g.annotations.colours import class_colour
from h2g.reporting.overlay import (
    draw_heatmap_overlay,
    draw_overlay,
    heatmap_colours,
    shrink,
    write_overlay,
)
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Plane

GREY = 200


def plain(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def is_near(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """But for the smoothing of lines."""
    return bool(np.abs(pixel.astype(int) - colour).max() < 30)


def square_labels(size: int, low: int, high: int, label: int = 1) -> np.ndarray:
    labels = np.zeros((size, size), np.uint8)
    labels[low:high, low:high] = label
    return labels


def test_fill_and_outline() -> None:
    picture = draw_overlay(plain(100, 100), square_labels(100, 30, 70), fill=0.5)
    red = class_colour(1)
    # Inside, slide and colour are mixed; the outline has the pure colour; the rest is unchanged.
    assert picture[50, 50].tolist() == [(GREY + part) // 2 for part in red]
    assert is_near(picture[30, 50], red)
    assert picture[20, 50].tolist() == [GREY] * 3
    assert picture[50, 75].tolist() == [GREY] * 3


def test_labels_of_another_size_cover_the_same_field() -> None:
    coarse = square_labels(10, 3, 7)
    fine = square_labels(100, 30, 70)
    assert np.array_equal(
        draw_overlay(plain(100, 100), coarse), draw_overlay(plain(100, 100), fine)
    )
    # Each axis is scaled separately: columns 60 to 140 of 200, rows 30 to 70 of 100.
    wide = draw_overlay(plain(200, 100), coarse)
    changed = (wide != GREY).any(axis=-1)
    assert changed[50, 62:138].all()
    assert not changed[50, :57].any()
    assert not changed[50, 143:].any()


def test_each_class_has_its_colour_and_holes_are_not_filled() -> None:
    labels = square_labels(100, 10, 90, label=2)
    labels[40:60, 40:60] = 0
    labels[0:5, 0:5] = 1
    picture = draw_overlay(plain(100, 100), labels)
    assert picture[50, 50].tolist() == [GREY] * 3
    assert is_near(picture[10, 50], class_colour(2))
    assert is_near(picture[4, 2], class_colour(1))
    # The hole has its outline too.
    assert any(is_near(pixel, class_colour(2)) for pixel in picture[36:41, 50])


def test_no_labels_change_nothing() -> None:
    picture = draw_overlay(plain(50, 40), np.zeros((8, 8), np.uint8))
    assert np.array_equal(picture, plain(50, 40))


def test_the_truth_is_dashed() -> None:
    nothing = np.zeros((200, 200), np.uint8)
    picture = draw_overlay(plain(200, 200), nothing, truth=square_labels(200, 50, 150))
    edge = (picture[50, 50:150] < 100).all(axis=-1)
    assert 0.2 < edge.mean() < 0.8
    assert picture[100, 100].tolist() == [GREY] * 3


def heatmap() -> Heatmap:
    """2 x 3 cells of 100 level-0 pixels over a field of 250 x 200; one is not classified."""
    tumour = np.array([[0.0, 1.0, 0.5], [0.0, 0.25, 1.0]], np.float32)
    values = np.stack([1 - tumour, tumour], axis=-1)
    values[1, 0] = 0
    return Heatmap(values, 100.0, Frame((250, 200), 1.0))


def test_the_heatmap_is_drawn_at_its_place() -> None:
    picture = draw_heatmap_overlay(plain(250, 200), heatmap(), opacity=1.0)
    scale = heatmap_colours(np.array([[0.0, 1.0, 0.5, 0.25]]))[0]
    assert picture[50, 50].tolist() == scale[0].tolist()
    # Columns of cells end at 100 and 200 of 250; stretched they would end at 83 and 167.
    assert picture[50, 99].tolist() == scale[0].tolist()
    assert picture[50, 101].tolist() == scale[1].tolist()
    assert picture[50, 199].tolist() == scale[1].tolist()
    assert picture[50, 201].tolist() == scale[2].tolist()
    # The grey slide where no patch was classified.
    assert picture[150, 50].tolist() == [GREY] * 3
    half = draw_heatmap_overlay(plain(250, 200), heatmap(), opacity=0.5)
    assert half[50, 150].tolist() == pytest.approx((scale[1].astype(int) + GREY) / 2, abs=1)


def test_shrink_never_enlarges() -> None:
    assert shrink(plain(100, 50), 200).shape == (50, 100, 3)
    assert shrink(plain(100, 50), 20).shape == (10, 20, 3)


@pytest.mark.parametrize("size_px", [(3000, 3000), (5000, 1000), (1000, 5000), (600, 300)])
@pytest.mark.parametrize("with_heatmap", [False, True])
def test_pictures_stay_small(tmp_path: Path, size_px: tuple[int, int], with_heatmap: bool) -> None:
    plane = Plane(plain(*size_px), Frame((size_px[0], size_px[1]), 1.0))
    cells = np.ones((size_px[1] // 100, size_px[0] // 100, 2), np.float32)
    found = Heatmap(cells, 100.0, Frame(plane.frame.field_level0, 1.0)) if with_heatmap else None
    path = tmp_path / "überlage 1.png"
    write_overlay(path, plane, square_labels(64, 10, 50), found, side_px=512)
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    height, width = picture.shape[:2]
    assert 500 <= max(height, width) <= 512
    if with_heatmap:
        # The panels are placed along the shorter side.
        one = (width - 8) / 2 / height if size_px[1] >= size_px[0] else width / ((height - 8) / 2)
        assert one == pytest.approx(size_px[0] / size_px[1], rel=0.03)
    else:
        assert width / height == pytest.approx(size_px[0] / size_px[1], rel=0.03)
