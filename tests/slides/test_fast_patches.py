from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fast_program import run_in_fast
from odd_slides import write_odd_slide

from h2g.errors import SlideError
from h2g.recipes.recipe import PROFILES, PatchSettings
from h2g.slides.grid import PatchGrid, patch_grid, tissue_cells
from h2g.slides.info import Level, slide_info
from h2g.slides.reading import open_slide, plan_patches, read_patch
from h2g.slides.tissue import TissueMask, find_tissue


def settings(**values: float) -> PatchSettings:
    return PatchSettings(**{"rule": "fast", "size_px": 64, "min_tissue": 0.5, **values})


def grid_of(
    field: tuple[int, int],
    downsamples: tuple[int, ...],
    *,
    mpp: float,
    objective: int | None,
    wanted_mpp: float = 1.0,
) -> PatchGrid:
    """Levels of sizes rounded down, as scanners write them."""
    levels = [
        Level((field[0] // each, field[1] // each), field[0] / (field[0] // each))
        for each in downsamples
    ]
    properties = {"openslide.objective-power": str(objective)} if objective else {}
    info = slide_info(Path("a.svs"), properties, levels, mpp=mpp)
    return patch_grid(info, settings(mpp=wanted_mpp))


# -- which level


def test_the_objective_chooses_the_level() -> None:
    # 40x / 4 = 10x, whatever the um/px: 0.2208 * 4 = 0.883 is 12 % off 1.0, and taken as it is.
    grid = grid_of((8003, 6001), (1, 4, 16), mpp=0.2208, objective=40)
    assert (grid.plan.level, grid.plan.read_px, grid.plan.factor) == (1, 64, 1.0)
    assert grid.plan.mpp == pytest.approx(0.8832)
    # 8003 // 4 = 2000, 2000 / 64 = 31.25; 6001 // 4 = 1500, 1500 / 64 = 23.4.
    assert (grid.cols, grid.rows) == (32, 24)
    # Patches start at whole multiples of the rounded downsample.
    assert grid.xy_level0(2, 3) == (3 * 64 * 4, 2 * 64 * 4)


def test_without_a_level_of_that_objective_a_finer_one_is_resampled() -> None:
    grid = grid_of((8000, 6000), (1, 16), mpp=0.25, objective=40)
    assert (grid.plan.level, grid.plan.read_px, grid.plan.factor) == (0, 256, 4.0)
    # 8000 / 4 = 2000 patch pixels
    assert (grid.cols, grid.rows) == (32, 24)
    assert grid.xy_level0(1, 2) == (512, 256)


def test_without_objective_um_px_choose() -> None:
    # 0.27 * 4 = 1.08 is above 1.0, so level 0 is resampled: 1 / 0.27 = 3.7; 64 * 3.7 = 237.04.
    grid = grid_of((8000, 6000), (1, 4), mpp=0.27, objective=None)
    assert (grid.plan.level, grid.plan.read_px) == (0, 237)
    assert grid.xy_level0(0, 3)[0] == int(3 * 64 / 0.27)
    # 0.23 * 4 = 0.92 is below it by less than 10 %.
    grid = grid_of((8000, 6000), (1, 4), mpp=0.23, objective=None)
    assert (grid.plan.level, grid.plan.factor) == (1, 1.0)
    with pytest.raises(SlideError, match="its finest level has 2 um/px, too coarse"):
        grid_of((800, 600), (1, 4), mpp=2.0, objective=None)


def test_the_other_rule_is_another() -> None:
    info = slide_info(
        Path("a.svs"),
        {"openslide.objective-power": "40"},
        [Level((8000, 6000), 1.0), Level((2000, 1500), 4.0)],
        mpp=0.2208,
    )
    assert plan_patches(info, PatchSettings(size_px=64)).read_px == 72  # 64 / 0.883
    assert plan_patches(info, settings()).read_px == 64


# -- which cells


def test_tissue_counts_whole_pixels_of_the_mask() -> None:
    # Level 1 has 2013 // 4 = 503 columns, the mask 2013 // 16 = 125: 4.024 of the level's pixels a
    # mask pixel, down the rows too. A patch of 64 is 15.9: 15 mask pixels, from 0, 15, 31, ... on;
    # the last, of 503 - 7 * 64 = 55, is 13.7: 13 mask pixels, from 448 / 4.024 = 111.3 on.
    grid = grid_of((2013, 1024), (1, 4, 16), mpp=0.25, objective=40)
    assert (grid.rows, grid.cols) == (4, 8)
    mask = np.zeros((64, 125), bool)
    mask[:8, :15] = True  # 120 of 15 * 15 = 225
    mask[15:30, 111:118] = True  # 105 of 15 * 13 = 195
    mask[31:46, 111:117] = True  # 90 of 195
    cells = tissue_cells(grid, TissueMask(mask, (2013, 1024), 0.25), settings())
    assert np.argwhere(cells).tolist() == [[0, 0], [1, 7]]


def test_as_much_as_the_share_is_enough() -> None:
    grid = grid_of((1024, 1024), (1, 4, 16), mpp=0.25, objective=40)
    mask = np.zeros((64, 64), bool)
    mask[:8, :16] = True  # half
    mask[16:24, 16:32] = True
    mask[16, 16] = False  # a pixel less
    tissue = TissueMask(mask, (1024, 1024), 0.25)
    assert np.argwhere(tissue_cells(grid, tissue, settings())).tolist() == [[0, 0]]


# -- FAST itself


@pytest.mark.parametrize(
    ("size_px", "downsamples", "mpp", "objective", "magnification", "exact"),
    [
        ((3003, 2507), (4, 16), 0.5, 20, 5, True),  # a level as it is; sizes that do not fit
        ((2009, 1503), (4, 16), 0.5, 20, 10, True),  # none of 10x: every second pixel of level 0
        ((1511, 1301), (2, 4), 1.07, None, 5, False),  # no objective: a factor of 1.87
        ((1475, 942), (3,), 0.5, 20, 5, False),  # 1.33 of level 1; a last row under a mask pixel
    ],
)
def test_fast_cuts_the_same_patches(
    size_px: tuple[int, int],
    downsamples: tuple[int, ...],
    mpp: float,
    objective: int | None,
    magnification: float,
    exact: bool,
    tmp_path: Path,
) -> None:
    path = tmp_path / "slide.svs"
    write_odd_slide(
        path, size_px=size_px, downsamples=downsamples, mpp=mpp, objective=objective, seed=7
    )
    script = Path(__file__).parent / "cut_in_fast.py"
    run_in_fast(script, path, str(magnification), "64", tmp_path / "cut.npz")
    fast = np.load(tmp_path / "cut.npz")

    patch = settings(mpp=10 / magnification)
    with open_slide(path) as slide:
        grid = patch_grid(slide.info, patch)
        tissue = find_tissue(slide, PROFILES["fast"].tissue)
        assert len(fast["cells"]) == grid.rows * grid.cols
        largest = different = 0
        for (row, col), pixels in zip(fast["cells"].tolist(), fast["patches"], strict=True):
            ours = read_patch(slide, grid.plan, grid.xy_level0(row, col))
            difference = np.abs(ours.astype(int) - pixels)
            largest = max(largest, int(difference.max()))
            different += int((difference > 0).sum())
    # Between whole pixels both round, each in its own way.
    assert largest <= (0 if exact else 1)
    assert different <= 1e-3 * fast["patches"].size

    np.testing.assert_array_equal(tissue.mask, fast["mask"] > 0)
    cells = np.argwhere(tissue_cells(grid, tissue, patch))
    assert cells.tolist() == sorted(fast["kept"].tolist())
    assert 0.2 * grid.rows * grid.cols < len(cells) < grid.rows * grid.cols
