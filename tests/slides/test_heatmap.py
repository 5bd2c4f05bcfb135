"""Heatmaps on grids of patches and of the cells within them."""

import numpy as np

from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap, draw_heatmap
from tests.plain_plans import plain_plan


def numbered(rows: int, cols: int, *, step_level0: float) -> Heatmap:
    """Cell (r, c) has the value 100 r + c; the field is that of the cells."""
    row, col = np.mgrid[:rows, :cols]
    values = (100 * row + col)[..., np.newaxis].astype(np.float32)
    return Heatmap(
        values, step_level0, Frame((round(cols * step_level0), round(rows * step_level0)), 0.5)
    )


def test_the_cells_of_a_patch() -> None:
    # 2 x 4 patches of 3 x 3 cells: patch (1, 2) has rows 3 to 5 and columns 6 to 8.
    plan = plain_plan(48, rows=2, cols=4, field_level0=(192, 96))
    heatmap = numbered(6, 12, step_level0=16)
    found = heatmap.of_patch(1, 2, plan)
    assert found[..., 0].tolist() == [[306, 307, 308], [406, 407, 408], [506, 507, 508]]
    assert heatmap.mpp == 8


def test_a_classifier_has_one_cell_per_patch() -> None:
    plan = plain_plan(48, rows=2, cols=4, field_level0=(192, 96))
    assert numbered(2, 4, step_level0=48).of_patch(1, 2, plan).tolist() == [[[102]]]


def test_cells_are_drawn_at_their_place() -> None:
    # A field of 32 x 16 on 4 x 2 pixels of 8; cells of 4: centres at 4, 12, ... lie in cells 1, 3,
    # 5 and 7, and in rows 1 and 3.
    drawn = draw_heatmap(numbered(4, 8, step_level0=4), (4, 2))[..., 0]
    assert drawn.tolist() == [[101, 103, 105, 107], [301, 303, 305, 307]]
