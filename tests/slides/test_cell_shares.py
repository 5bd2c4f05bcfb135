import numpy as np
import pytest

from h2g.slides.mpp_patches import MppPatches
from tests.plain_plans import plain_plan


def plan_of(field: tuple[int, int], step: float) -> MppPatches:
    cols, rows = (int(np.ceil(side / step)) for side in field)
    return plain_plan(step, rows=rows, cols=cols, field_level0=field)


def test_shares_worked_by_hand() -> None:
    # Field 40 x 20, cells of 16: 3 columns, 2 rows; raster 10 x 5, so pixels are 4 x 4 and a cell
    # is 4 x 4 of them. Columns end at raster 4, 8, 12 (the field at 10), rows at 4, 8 (at 5).
    raster = np.zeros((5, 10), np.uint8)
    raster[0, 0] = raster[3, 3] = 1  # 2 of 16 in cell (0, 0)
    raster[:, 9] = 1  # 4 of 16 in cell (0, 2), 1 of 16 in cell (1, 2)
    raster[4, 0:4] = 1  # 4 of 16 in cell (1, 0)
    shares = plan_of((40, 20), 16).cell_shares(raster)
    assert shares.dtype == np.float32
    assert shares.tolist() == [[0.125, 0, 0.25], [0.25, 0, 0.0625]]


def test_pixels_that_cells_cut_count_by_their_part() -> None:
    # Field 30 x 10, cells of 10; raster 2 x 1, so a pixel is 15 wide: cell 1 has 5 of the first
    # and 5 of the second pixel.
    shares = plan_of((30, 10), 10).cell_shares(np.array([[1.0, 0.0]]))
    assert shares.tolist() == [[1.0, 0.5, 0.0]]


def test_shares_of_random_rasters_sum_to_the_raster() -> None:
    rng = np.random.default_rng(0)
    for field, step, shape in (((997, 613), 77.7, (211, 123)), ((500, 900), 64.0, (33, 1000))):
        raster = rng.random(shape)
        plan = plan_of(field, step)
        shares = plan.cell_shares(raster)
        total = shares.sum() * step**2 / (field[0] * field[1])
        assert total == pytest.approx(raster.mean(), rel=1e-5)
        assert shares.max() <= 1


def test_an_empty_raster_has_shares_of_exactly_0() -> None:
    # Cells of 77.7: edges are no exact floats, and yet a cell beside the annotation has none.
    raster = np.zeros((777, 777), bool)
    raster[:777, : 777 // 2] = True
    shares = plan_of((777, 777), 77.7).cell_shares(raster)
    # 388 raster columns = 4.99 cells
    assert (shares[:, 5:] == 0).all()
    np.testing.assert_allclose(shares[:, :4], 1, rtol=1e-6)
