from pathlib import Path

import numpy as np
import pytest
import shapely

from h2g.annotations import raster
from h2g.annotations.raster import drawing, rasterise, regions_from_labels
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
