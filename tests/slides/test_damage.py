from __future__ import annotations

import pytest

from h2g.slides.damage import Box, parts_of


@pytest.mark.parametrize(
    ("box", "parts"),
    [
        ((0, 0, 256, 256), []),
        ((10, 300, 200, 100), []),
        ((0, 0, 512, 256), [(0, 0, 256, 256), (256, 0, 256, 256)]),
        ((200, 10, 100, 100), [(200, 10, 56, 100), (256, 10, 44, 100)]),
        ((0, 250, 10, 600), [(0, 250, 10, 262), (0, 512, 10, 338)]),
        ((-100, 0, 150, 20), [(-100, 0, 100, 20), (0, 0, 50, 20)]),
    ],
)
def test_a_box_is_parted_at_the_border_of_tiles_nearest_to_its_middle(
    box: Box, parts: list[Box]
) -> None:
    assert list(parts_of(box, (256, 256))) == parts
