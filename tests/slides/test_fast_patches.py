from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from h2g.errors import SlideError
from h2g.fast_versions import FastName
from h2g.recipes.preprocessing import PROFILES, PatchRule, PatchSettings
from h2g.slides.fast_levels import misplaced_level
from h2g.slides.fast_patches import FastPatches
from h2g.slides.frame import Frame
from h2g.slides.info import Level, slide_info
from h2g.slides.reading import open_slide, plan_patches
from h2g.slides.tissue import TissueMask, find_tissue
from tests.fast_program import run_in_fast
from tests.odd_slides import write_odd_slide


def settings(**values: Any) -> PatchSettings:
    return PatchSettings(**{"rule": "fast-4.15", "size_px": 64, "min_tissue": 0.5, **values})


def plan_of(
    field: tuple[int, int],
    downsamples: tuple[int, ...],
    *,
    mpp: float,
    objective: int | None,
    rule: PatchRule = "fast-4.15",
    wanted_mpp: float = 1.0,
) -> FastPatches:
    """Levels of sizes rounded down, as scanners write them."""
    levels = [
        Level((field[0] // each, field[1] // each), field[0] / (field[0] // each))
        for each in downsamples
    ]
    properties = {"openslide.objective-power": str(objective)} if objective else {}
    info = slide_info(Path("a.svs"), properties, levels, mpp=mpp)
    plan = plan_patches(info, settings(rule=rule, mpp=wanted_mpp))
    assert isinstance(plan, FastPatches)
    return plan


# -- which level, 4.15


def test_the_objective_chooses_the_level() -> None:
    # 40x / 4 = 10x, whatever the um/px: 0.2208 * 4 = 0.883 is 12 % off 1.0, and taken as it is.
    plan = plan_of((8003, 6001), (1, 4, 16), mpp=0.2208, objective=40)
    assert (plan.level, plan.read_px, plan.factor) == (1, 64, 1.0)
    assert plan.mpp == pytest.approx(0.8832)
    # 8003 // 4 = 2000, 2000 / 64 = 31.25; 6001 // 4 = 1500, 1500 / 64 = 23.4.
    assert (plan.cols, plan.rows) == (32, 24)
    # Patches start at whole multiples of the rounded downsample.
    assert plan.xy_level0(2, 3) == (3 * 64 * 4, 2 * 64 * 4)


def test_without_a_level_of_that_objective_a_finer_one_is_resampled() -> None:
    plan = plan_of((8000, 6000), (1, 16), mpp=0.25, objective=40)
    assert (plan.level, plan.read_px, plan.factor) == (0, 256, 4.0)
    # 8000 / 4 = 2000 patch pixels
    assert (plan.cols, plan.rows) == (32, 24)
    assert plan.xy_level0(1, 2) == (512, 256)


def test_mpp_chooses_the_level_without_an_objective() -> None:
    # 0.27 * 4 = 1.08 is above 1.0, so level 0 is resampled: 1 / 0.27 = 3.7; 64 * 3.7 = 237.04.
    plan = plan_of((8000, 6000), (1, 4), mpp=0.27, objective=None)
    assert (plan.level, plan.read_px) == (0, 237)
    assert plan.xy_level0(0, 3)[0] == int(3 * 64 / 0.27)
    # 0.23 * 4 = 0.92 is below it by less than 10 %.
    plan = plan_of((8000, 6000), (1, 4), mpp=0.23, objective=None)
    assert (plan.level, plan.factor) == (1, 1.0)
    with pytest.raises(SlideError, match="its finest level has 2 um/px, too coarse"):
        plan_of((800, 600), (1, 4), mpp=2.0, objective=None)


def test_the_mpp_rule_differs() -> None:
    info = slide_info(
        Path("a.svs"),
        {"openslide.objective-power": "40"},
        [Level((8000, 6000), 1.0), Level((2000, 1500), 4.0)],
        mpp=0.2208,
    )
    assert plan_patches(info, PatchSettings(size_px=64)).read_px == 72  # 64 / 0.883
    assert plan_patches(info, settings()).read_px == 64


# -- which level, 4.9


def test_4_9_uses_mpp_alone() -> None:
    # 0.2208 * 4 = 0.8832, resampled by 1 / 0.8832 = 1.1322: 64 * 1.1322 = 72.46 pixels.
    plan = plan_of((16000, 12000), (1, 4), mpp=0.2208, objective=40, rule="fast-4.9")
    assert (plan.level, plan.read_px) == (1, 72)
    assert plan.mpp == pytest.approx(1.0)
    # 16000 * 0.2208 = 3532.8 um; a cell is 64 um: 55.2; 12000 * 0.2208 / 64 = 41.4.
    assert (plan.cols, plan.rows) == (56, 42)
    # The third column starts at 2 * 64 * 1.1322 = 144.9 pixels of the level.
    assert plan.xy_level0(0, 2) == (144 * 4, 0)
    # Exactly 1.0 um/px is read as it is, 0.03 % more is not.
    exact = plan_of((16000, 12000), (1, 4), mpp=0.25, objective=None, rule="fast-4.9")
    assert (exact.level, exact.factor) == (1, 1.0)
    above = plan_of((16001, 12000), (1, 4), mpp=0.25, objective=40, rule="fast-4.9")
    assert (above.level, above.factor) == (0, 4.0)
    with pytest.raises(SlideError, match="its finest level has 2 um/px, too coarse"):
        plan_of((8000, 6000), (1, 4), mpp=2.0, objective=None, rule="fast-4.9")


def test_4_9_knows_no_level_below_5_mib() -> None:
    # 1000 * 1000 * 4 bytes are 3.8 MiB, so 0.5 um/px is the coarsest for it.
    plan = plan_of((4000, 4000), (1, 2, 4), mpp=0.25, objective=40, rule="fast-4.9")
    assert (plan.level, plan.factor) == (1, 2.0)
    plan = plan_of((4000, 4000), (1, 2, 4), mpp=0.25, objective=40)
    assert (plan.level, plan.factor) == (2, 1.0)


def test_4_9_measures_the_slide_by_its_coarsest_level() -> None:
    # Of 10001 columns level 2 keeps 1250, of 10001 / 1250 * 0.25 = 2.0002 um; a cell of 64 um is
    # 32 pixels of 2 um: 1250 * 2.0002 / 2 = 1250.1 are 1250, so 39.06 cells. Of 9984 rows 1248 are
    # left: 1248.1, 1248 pixels, 39.0 cells.
    plan = plan_of((10001, 9984), (1, 4, 8), mpp=0.25, objective=40, rule="fast-4.9")
    assert (plan.cols, plan.rows) == (40, 39)


@pytest.mark.parametrize(
    ("size_px", "misplaced"), [((1000, 900), False), ((999, 900), False), ((1001, 900), True)]
)
def test_levels_rounded_up_are_misplaced(size_px: tuple[int, int], misplaced: bool) -> None:
    # 4000 / 999 = 4.004 is cut off to 4, 4000 / 1001 = 3.996 to 3.
    levels = [Level((4000, 3600), 1.0), Level(size_px, 4000 / size_px[0])]
    info = slide_info(Path("a.svs"), {}, levels, mpp=0.25)
    assert misplaced_level(info, 1) == misplaced


# -- which cells


def test_tissue_counts_whole_pixels_of_the_mask() -> None:
    # Level 1 has 2013 // 4 = 503 columns, the mask 2013 // 16 = 125: 4.024 of the level's pixels a
    # mask pixel, down the rows too. A patch of 64 is 15.9: 15 mask pixels, from 0, 15, 31, ... on;
    # the last, of 503 - 7 * 64 = 55, is 13.7: 13 mask pixels, from 448 / 4.024 = 111.3 on.
    plan = plan_of((2013, 1024), (1, 4, 16), mpp=0.25, objective=40)
    assert (plan.rows, plan.cols) == (4, 8)
    mask = np.zeros((64, 125), bool)
    mask[:8, :15] = True  # 120 of 15 * 15 = 225
    mask[15:30, 111:118] = True  # 105 of 15 * 13 = 195
    mask[31:46, 111:117] = True  # 90 of 195
    cells = plan.tissue_cells(TissueMask(mask, Frame((2013, 1024), 0.25)), 0.5)
    assert np.argwhere(cells).tolist() == [[0, 0], [1, 7]]


def test_a_share_equal_to_the_minimum_is_enough() -> None:
    plan = plan_of((1024, 1024), (1, 4, 16), mpp=0.25, objective=40)
    mask = np.zeros((64, 64), bool)
    mask[:8, :16] = True  # half
    mask[16:24, 16:32] = True
    mask[16, 16] = False  # a pixel less
    tissue = TissueMask(mask, Frame((1024, 1024), 0.25))
    assert np.argwhere(plan.tissue_cells(tissue, 0.5)).tolist() == [[0, 0]]


# -- FAST itself

# Levels as they are, sizes that do not fit; none of 10x: every second pixel of level 0; no
# objective: a factor of 1.87; 1.33 of level 1, and a last row under a mask pixel.
SLIDES = [
    ((3003, 2507), (4, 16), 0.5, 20, 5, True),
    ((2009, 1503), (4, 16), 0.5, 20, 10, True),
    ((1511, 1301), (2, 4), 1.07, None, 5, False),
    ((1475, 942), (3,), 0.5, 20, 5, False),
]
# Exactly 10x; a level that is not quite 10x; level 1, resampled; 40x that is not quite 40x.
SLIDES_OF_4_9 = [
    ((5032, 4504), (4,), 0.25, 40, 10, True),
    ((5007, 4511), (4,), 0.25, 40, 10, True),
    ((5002, 4506), (2, 8), 0.25, 40, 10, True),
    ((5004, 4504), (2, 4), 0.2208, 40, 5, False),
]


@pytest.mark.parametrize("rule", ["fast-4.9", "fast-4.15"])
def test_um_px_that_differ_along_x_and_y(rule: PatchRule, tmp_path: Path) -> None:
    path = write_odd_slide(
        tmp_path / "slide.tif",
        **{"size_px": (5003, 4007), "downsamples": (4,), "objective": None},
        **{"mpp": 0.25, "mpp_y": 0.245, "seed": 7},
    )
    compare_with_fast(path, rule, magnification=10, exact=True)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("rule", "size_px", "downsamples", "mpp", "objective", "magnification", "exact"),
    [
        *(("fast-4.15", *each) for each in SLIDES),
        *(("fast-4.9", *each) for each in (SLIDES[0], SLIDES[2], *SLIDES_OF_4_9)),
    ],
)
def test_fast_cuts_the_same_patches(
    rule: PatchRule,
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
    compare_with_fast(path, rule, magnification=magnification, exact=exact)


def compare_with_fast(path: Path, rule: PatchRule, *, magnification: float, exact: bool) -> None:
    """All patches, the tissue mask, and which patches hold tissue."""
    script = Path(__file__).parent / "cut_in_fast.py"
    name: FastName = "4.9" if rule == "fast-4.9" else "4.15"
    cut = path.with_name("cut.npz")
    run_in_fast(script, path, str(magnification), "64", "0", cut, name=name)
    fast = np.load(cut)

    patch = settings(rule=rule, mpp=10 / magnification)
    profile = PROFILES["fast" if name == "4.9" else "fast-4.15"]
    with open_slide(path) as slide:
        plan = plan_patches(slide.info, patch)
        tissue = find_tissue(slide, profile.tissue)
        assert len(fast["cells"]) == plan.rows * plan.cols
        largest = different = 0
        for (row, col), pixels in zip(fast["cells"].tolist(), fast["patches"], strict=True):
            ours = plan.read(slide, plan.xy_level0(row, col))
            difference = np.abs(ours.astype(int) - pixels)
            largest = max(largest, int(difference.max()))
            different += int((difference > 0).sum())
    # Between whole pixels both round, each in its own way.
    assert largest <= (0 if exact else 1)
    assert different <= 1e-3 * fast["patches"].size

    np.testing.assert_array_equal(tissue.mask, fast["mask"] > 0)
    cells = np.argwhere(plan.tissue_cells(tissue, patch.min_tissue))
    assert cells.tolist() == sorted(fast["kept"].tolist())
    assert 0.2 * plan.rows * plan.cols < len(cells) < plan.rows * plan.cols
