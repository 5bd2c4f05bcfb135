from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import shapely.affinity

from h2g.annotations import raster
from h2g.annotations.raster import UNKNOWN, drawing, rasterise, regions_from_labels
from h2g.annotations.regions import AnnotatedRegions, Region
from tests.region_areas import area_level0

NAMES = ("background", "tumour", "stroma")


def annotated(*regions: tuple[str, shapely.Geometry]) -> AnnotatedRegions:
    return AnnotatedRegions(tuple(Region(shape, name) for name, shape in regions), Path("a.json"))


def star(x: float, y: float, radius: float) -> shapely.Polygon:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radii = radius * np.where(np.arange(40) % 2, 0.6, 1.0)
    return shapely.Polygon(np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], 1))


def test_a_pixel_belongs_to_the_region_its_centre_is_in() -> None:
    # Field 40 x 20 on 4 x 2 pixels of 10: centres at x 5, 15, 25, 35 and y 5, 15. The box from
    # 14 to 34 covers those at 15 and 25, the upper row only.
    labels = rasterise(
        annotated(("tumour", shapely.box(14, 2, 34, 12))),
        NAMES,
        field_level0=(40, 20),
        size_px=(4, 2),
    )
    np.testing.assert_array_equal(labels, [[0, 1, 1, 0], [0, 0, 0, 0]])
    assert labels.dtype == np.uint8


def test_neighbours_share_every_pixel_once() -> None:
    # The common edge runs through pixel centres at x = 2.5: they fall to exactly one side.
    left, right = shapely.box(0, 0, 2.5, 4), shapely.box(2.5, 0, 5, 4)
    one = rasterise(annotated(("tumour", left)), NAMES, field_level0=(5, 4), size_px=(5, 4))
    two = rasterise(annotated(("tumour", right)), NAMES, field_level0=(5, 4), size_px=(5, 4))
    np.testing.assert_array_equal(one + two, np.ones((4, 5)))


def test_holes_and_islands_in_them() -> None:
    ring = shapely.box(1, 1, 9, 9) - shapely.box(3, 3, 7, 7)
    island = shapely.box(4, 4, 6, 6)
    labels = rasterise(
        annotated(("tumour", shapely.union(ring, island))),
        NAMES,
        field_level0=(10, 10),
        size_px=(10, 10),
    )
    # 8 x 8 less 4 x 4 and again 2 x 2.
    assert labels.sum() == 64 - 16 + 4
    assert labels[5, 5] == 1
    assert labels[3, 3] == 0


def test_overlapping_regions_of_a_class_do_not_cancel() -> None:
    labels = rasterise(
        annotated(("tumour", shapely.box(0, 0, 6, 6)), ("tumour", shapely.box(3, 3, 9, 9))),
        NAMES,
        field_level0=(10, 10),
        size_px=(10, 10),
    )
    assert labels.sum() == 36 + 36 - 9


def test_later_classes_are_drawn_over_earlier_ones_whatever_the_order_in_the_file() -> None:
    labels = rasterise(
        annotated(("stroma", shapely.box(0, 0, 2, 2)), ("tumour", shapely.box(0, 0, 4, 1))),
        NAMES,
        field_level0=(4, 2),
        size_px=(4, 2),
    )
    np.testing.assert_array_equal(labels, [[2, 2, 1, 1], [2, 2, 0, 0]])


def test_what_lies_outside_the_field_is_cut_off() -> None:
    labels = rasterise(
        annotated(("tumour", shapely.box(-50, -50, 3, 50))),
        NAMES,
        field_level0=(10, 10),
        size_px=(10, 10),
    )
    assert (labels[:, :3] == 1).all()
    assert (labels[:, 3:] == 0).all()


@pytest.mark.parametrize("size_px", [(500, 300), (777, 431)])
def test_areas_are_those_of_the_shapes(size_px: tuple[int, int]) -> None:
    field = (10_000, 6_000)
    shape = star(4_000, 3_000, 2_500) - star(3_500, 2_800, 900)
    labels = rasterise(annotated(("tumour", shape)), NAMES, field_level0=field, size_px=size_px)
    area = labels.sum() * (field[0] / size_px[0]) * (field[1] / size_px[1])
    assert area == pytest.approx(shape.area, rel=0.003)


def test_every_pixel_agrees_with_shapely() -> None:
    field, size_px = (900, 700), (90, 50)
    shape = star(430, 360, 320) - star(400, 300, 110)
    labels = rasterise(annotated(("tumour", shape)), NAMES, field_level0=field, size_px=size_px)
    x, y = np.meshgrid((np.arange(90) + 0.5) * 900 / 90, (np.arange(50) + 0.5) * 700 / 50)
    np.testing.assert_array_equal(labels == 1, shapely.contains_xy(shape, x, y))


def test_bands_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = annotated(("tumour", star(430, 360, 320)), ("stroma", star(600, 500, 90)))
    whole = rasterise(shapes, NAMES, field_level0=(900, 700), size_px=(101, 83))
    monkeypatch.setattr(raster, "BAND_PX", 700)  # 6 rows at a time
    banded = rasterise(shapes, NAMES, field_level0=(900, 700), size_px=(101, 83))
    np.testing.assert_array_equal(whole, banded)
    some = drawing(shapes, NAMES, field_level0=(900, 700), size_px=(101, 83)).rows(40, 55)
    np.testing.assert_array_equal(some, whole[40:55])


def random_shapes(rng: np.random.Generator) -> AnnotatedRegions:
    """Stars of two classes about a field of 90 x 70; some reach beyond it."""
    places = [(*rng.uniform((0, 0), (90, 70)), rng.uniform(5, 40)) for _ in range(6)]
    return annotated(*((NAMES[1 + n % 2], star(*place)) for n, place in enumerate(places)))


def moved(shapes: AnnotatedRegions, x: float, y: float) -> AnnotatedRegions:
    pairs = [
        (each.class_name, shapely.affinity.translate(each.geometry, x, y))
        for each in shapes.regions
    ]
    return annotated(*pairs)


@pytest.mark.parametrize("seed", range(8))
def test_a_window_is_a_part_of_the_raster(seed: int) -> None:
    """Within the raster its crop; beyond it what a raster of a larger field has there."""
    rng = np.random.default_rng(seed)
    shapes = random_shapes(rng)
    whole = rasterise(shapes, NAMES, field_level0=(90, 70), size_px=(90, 70))
    around = rasterise(moved(shapes, 100, 100), NAMES, field_level0=(290, 270), size_px=(290, 270))
    regions = drawing(shapes, NAMES, field_level0=(90, 70), size_px=(90, 70))
    for _ in range(20):
        width, height = rng.integers(1, 50, 2).tolist()
        left, top = rng.integers((0, 0), (91 - width, 71 - height)).tolist()
        window = regions.window(left=left, top=top, size_px=(width, height))
        np.testing.assert_array_equal(window, whole[top : top + height, left : left + width])
        assert window.dtype == np.uint8
        left, top = rng.integers(-60, 120, 2).tolist()
        window = regions.window(left=left, top=top, size_px=(width, height))
        rows, cols = slice(top + 100, top + 100 + height), slice(left + 100, left + 100 + width)
        np.testing.assert_array_equal(window, around[rows, cols])


@pytest.mark.parametrize("seed", range(8))
def test_a_window_may_start_between_pixels(seed: int) -> None:
    """It equals the raster of the regions moved the other way."""
    rng = np.random.default_rng(seed)
    shapes = random_shapes(rng)
    regions = drawing(shapes, NAMES, field_level0=(90, 70), size_px=(90, 70))
    seen = set()
    for left, top in rng.uniform(-20, 80, (20, 2)).tolist():
        window = regions.window(left=left, top=top, size_px=(31, 23))
        expected = rasterise(
            moved(shapes, -left, -top), NAMES, field_level0=(31, 23), size_px=(31, 23)
        )
        np.testing.assert_array_equal(window, expected)
        seen |= {*window.ravel().tolist()}
    assert seen == {0, 1, 2}


def test_a_window_far_off_is_background() -> None:
    shapes = annotated(("tumour", shapely.box(0, 0, 90, 70)))
    regions = drawing(shapes, NAMES, field_level0=(90, 70), size_px=(90, 70))
    for left, top in ((-40, 0), (0, -40), (90, 0), (0, 70), (500.5, -500.5)):
        assert not regions.window(left=left, top=top, size_px=(40, 40)).any()
    # Centres of rows and columns at -0.75, 0.25 and 1.25.
    corner = regions.window(left=-1.25, top=-1.25, size_px=(3, 3))
    np.testing.assert_array_equal(corner, [[0, 0, 0], [0, 1, 1], [0, 1, 1]])


def test_no_regions_is_background() -> None:
    labels = rasterise(annotated(), NAMES, field_level0=(5, 4), size_px=(5, 4))
    assert labels.shape == (4, 5)
    assert not labels.any()


def test_labels_to_regions_and_back() -> None:
    labels = np.random.default_rng(1).integers(0, 3, (60, 90), dtype=np.uint8)
    regions = regions_from_labels(
        labels, NAMES, field_level0=(90 * 7, 60 * 7), source=Path("m.png")
    )
    assert {region.class_name for region in regions.regions} == {"tumour", "stroma"}
    for label in (1, 2):  # a pixel is 7 x 7 level-0 pixels
        assert area_level0(regions, NAMES[label]) == pytest.approx(49 * (labels == label).sum())
    again = rasterise(regions, NAMES, field_level0=(90 * 7, 60 * 7), size_px=(90, 60))
    np.testing.assert_array_equal(again, labels)


def test_a_mask_is_stretched_over_the_field() -> None:
    # 2 x 1 pixels over 30 x 20: the right one covers x from 15 to 30 and all of y.
    labels = np.array([[0, 1]], dtype=np.uint8)
    found = regions_from_labels(labels, NAMES, field_level0=(30, 20), source=Path("m.png"))
    assert found.regions[0].geometry.equals(shapely.box(15, 0, 30, 20))


def test_outside_the_annotated_part_nothing_is_known() -> None:
    shapes = annotated(("tumour", shapely.box(0, 0, 5, 6)))
    part = replace(shapes, within=shapely.box(2, 1, 8, 4))
    labels = rasterise(part, NAMES, field_level0=(9, 6), size_px=(9, 6))
    expected = np.full((6, 9), UNKNOWN, np.uint8)
    expected[1:4, 2:8] = 0
    expected[1:4, 2:5] = 1
    np.testing.assert_array_equal(labels, expected)
    regions = drawing(part, NAMES, field_level0=(9, 6), size_px=(9, 6))
    np.testing.assert_array_equal(regions.rows(2, 5), expected[2:5])
    window = regions.window(left=1, top=0, size_px=(4, 3))
    np.testing.assert_array_equal(window, expected[:3, 1:5])
    assert (regions.window(left=50, top=0, size_px=(2, 2)) == UNKNOWN).all()
