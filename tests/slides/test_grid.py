from pathlib import Path

import numpy as np
import pytest
from h2g.slides.grid import PatchGrid, cell_shares, patch_grid, tissue_cells

from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.info import Level, slide_info
from h2g.slides.patches import PatchPlan
from h2g.slides.tissue import TissueMask


def grid_of(field: tuple[int, int], step: float) -> PatchGrid:
    plan = PatchPlan(0, int(step), int(step), mpp=1.0, step_level0=step, downsample=1.0)
    cols, rows = (int(np.ceil(side / step)) for side in field)
    return PatchGrid(plan, rows, cols, field)


def test_the_grid_covers_whole_patches() -> None:
    levels = [Level((4100, 2048), 1.0), Level((1025, 512), 4.0)]
    grid = patch_grid(slide_info(Path("a.svs"), {}, levels, mpp=0.25), PatchSettings())
    # A patch is 256 px of 4.0: 1024. 4100 / 1024 = 4.004, 2048 / 1024 = 2.
    assert (grid.rows, grid.cols) == (2, 5)
    assert grid.plan.step_level0 == 1024
    assert grid.xy_level0(1, 3) == (3072, 1024)


def test_origins_lie_on_the_pixels_of_the_level() -> None:
    # 8186 / 2046 = 4.00098: a pixel of the level is not a whole number of level-0 pixels.
    downsample = 8186 / 2046
    levels = [Level((8186, 8186), 1.0), Level((2046, 2046), downsample)]
    grid = patch_grid(slide_info(Path("a.svs"), {}, levels, mpp=0.25), PatchSettings())
    for number in range(grid.cols):
        x, y = grid.xy_level0(number, number)
        assert x == y
        assert abs(x / downsample - 256 * number) <= 0.5 / downsample


def test_shares_worked_by_hand() -> None:
    # Field 40 x 20, cells of 16: 3 columns, 2 rows; raster 10 x 5, so pixels are 4 x 4 and a cell
    # is 4 x 4 of them. Columns end at raster 4, 8, 12 (the field at 10), rows at 4, 8 (at 5).
    raster = np.zeros((5, 10), np.uint8)
    raster[0, 0] = raster[3, 3] = 1  # 2 of 16 in cell (0, 0)
    raster[:, 9] = 1  # 4 of 16 in cell (0, 2), 1 of 16 in cell (1, 2)
    raster[4, 0:4] = 1  # 4 of 16 in cell (1, 0)
    shares = cell_shares(grid_of((40, 20), 16), raster)
    assert shares.dtype == np.float32
    assert shares.tolist() == [[0.125, 0, 0.25], [0.25, 0, 0.0625]]


def test_pixels_that_cells_cut_count_by_their_part() -> None:
    # Field 30 x 10, cells of 10; raster 2 x 1, so a pixel is 15 wide: cell 1 has 5 of the first
    # and 5 of the second pixel.
    shares = cell_shares(grid_of((30, 10), 10), np.array([[1.0, 0.0]]))
    assert shares.tolist() == [[1.0, 0.5, 0.0]]


def test_shares_of_random_rasters_sum_to_the_raster() -> None:
    rng = np.random.default_rng(0)
    for field, step, shape in (((997, 613), 77.7, (211, 123)), ((500, 900), 64.0, (33, 1000))):
        raster = rng.random(shape)
        grid = grid_of(field, step)
        shares = cell_shares(grid, raster)
        total = shares.sum() * step**2 / (field[0] * field[1])
        assert total == pytest.approx(raster.mean(), rel=1e-5)
        assert shares.max() <= 1


def test_nothing_is_exactly_nothing() -> None:
    # Cells of 77.7: edges are no exact floats, and yet a cell beside the annotation has none.
    raster = np.zeros((777, 777), bool)
    raster[:777, : 777 // 2] = True
    shares = cell_shares(grid_of((777, 777), 77.7), raster)
    # 388 raster columns = 4.99 cells
    assert (shares[:, 5:] == 0).all()
    np.testing.assert_allclose(shares[:, :4], 1, rtol=1e-6)


def test_tissue_cells_need_more_than_the_share() -> None:
    mask = np.zeros((4, 8), bool)
    mask[0, :4] = True  # a quarter of the left cell
    mask[:2, 4:] = True  # half of the right
    tissue = TissueMask(mask, field_level0=(32, 16), slide_mpp=1.0)
    grid = grid_of((32, 16), 16)
    assert tissue_cells(grid, tissue, PatchSettings(min_tissue=0.25)).tolist() == [[False, True]]
    assert tissue_cells(grid, tissue, PatchSettings(min_tissue=0.2)).tolist() == [[True, True]]
    assert tissue_cells(grid, tissue, PatchSettings(min_tissue=0.5)).tolist() == [[False, False]]
