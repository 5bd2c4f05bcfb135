from __future__ import annotations

import pytest

from h2g.slides.frame import Frame


def test_pixels_of_an_image_of_the_whole_field() -> None:
    # 8000 x 3000 level-0 px of 0.5 um in 400 x 100 px: 20 x 30 px, 10 x 15 um, 150 um2 each.
    frame = Frame((8000, 3000), 0.5)
    assert frame.pixel_level0((400, 100)) == (20.0, 30.0)
    assert frame.pixel_um((400, 100)) == (10.0, 15.0)
    assert frame.pixel_mm2((400, 100)) == pytest.approx(150e-6)


def test_without_bounds_the_whole_field_is_scanned() -> None:
    assert Frame((80, 60), 1.0).scanned_level0 == (0, 0, 80, 60)
    assert Frame((80, 60), 1.0, (10, 20, 30, 40)).scanned_level0 == (10, 20, 30, 40)
