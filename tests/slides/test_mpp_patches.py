from pathlib import Path

import numpy as np
import pytest

from h2g.errors import SlideError
from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.frame import Frame
from h2g.slides.info import Level, SlideInfo, slide_info
from h2g.slides.reading import open_slide, plan_patches
from h2g.slides.tissue import TissueMask
from tests.plain_plans import plain_plan


def info_at(mpp: float, *downsamples: float) -> SlideInfo:
    levels = [Level((int(80_000 / d), int(60_000 / d)), d) for d in downsamples]
    return slide_info(Path("a.svs"), {}, levels, mpp=mpp)


def test_a_level_within_the_tolerance_is_not_resampled() -> None:
    # Levels of 0.23, 0.92 and 3.68 um/px: 0.92 is 8 % off 1.0.
    plan = plan_patches(info_at(0.23, 1, 4, 16), PatchSettings())
    assert (plan.level, plan.read_px, plan.size_px) == (1, 256, 256)
    assert plan.mpp == pytest.approx(0.92)
    assert plan.step_level0 == 1024
    # The coarser side of the tolerance: 1.08.
    assert plan_patches(info_at(0.27, 1, 4), PatchSettings()).read_px == 256


def test_else_the_next_finer_level_is_resampled() -> None:
    # Levels of 0.22, 0.88 and 3.52: 12 % off, so 256 / 0.88 = 290.9 px of level 1 are read.
    plan = plan_patches(info_at(0.22, 1, 4, 16), PatchSettings())
    assert (plan.level, plan.read_px) == (1, 291)
    assert plan.step_level0 == 291 * 4
    assert plan.mpp == pytest.approx(291 * 0.88 / 256)
    # 0.499 um/px alone: 2.004 times as fine; two whole pixels are averaged, 0.2 % off.
    plan = plan_patches(info_at(0.499, 1), PatchSettings())
    assert (plan.level, plan.read_px, plan.mpp) == (0, 512, 0.998)


def test_tolerance_comes_from_the_settings() -> None:
    assert plan_patches(info_at(0.23, 1, 4), PatchSettings(tolerance=0.05)).read_px != 256


def test_too_coarse_a_slide_is_refused() -> None:
    with pytest.raises(SlideError, match=r"finest level has 2 um/px, too coarse .* 1 um/px"):
        plan_patches(info_at(2.0, 1, 4), PatchSettings())


def test_patches_of_a_level_are_its_pixels(write_slide, picture: np.ndarray) -> None:
    with open_slide(write_slide(picture)) as slide:  # 0.5 um/px
        plan = plan_patches(slide.info, PatchSettings(mpp=0.5, size_px=64))
        patch = plan.read(slide, (128, 64))
        corner = plan.read(slide, (1536 - 32, 0))
    np.testing.assert_array_equal(patch, picture[64:128, 128:192])
    np.testing.assert_array_equal(corner[:, :32], picture[:64, -32:])
    assert (corner[:, 32:] == 255).all()


def test_resampled_patches_are_area_means(write_slide, picture: np.ndarray) -> None:
    with open_slide(write_slide(picture)) as slide:
        plan = plan_patches(slide.info, PatchSettings(mpp=2.0, size_px=64))
        assert plan.read_px == 256
        patch = plan.read(slide, (256, 512))
    means = picture[512:768, 256:512].reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(patch, means, atol=0.51)


def test_the_grid_covers_whole_patches() -> None:
    levels = [Level((4100, 2048), 1.0), Level((1025, 512), 4.0)]
    plan = plan_patches(slide_info(Path("a.svs"), {}, levels, mpp=0.25), PatchSettings())
    # A patch is 256 px of 4.0: 1024. 4100 / 1024 = 4.004, 2048 / 1024 = 2.
    assert (plan.rows, plan.cols) == (2, 5)
    assert plan.step_level0 == 1024
    assert plan.xy_level0(1, 3) == (3072, 1024)


def test_origins_lie_on_the_pixels_of_the_level() -> None:
    # 8186 / 2046 = 4.00098: a pixel of the level is not a whole number of level-0 pixels.
    downsample = 8186 / 2046
    levels = [Level((8186, 8186), 1.0), Level((2046, 2046), downsample)]
    plan = plan_patches(slide_info(Path("a.svs"), {}, levels, mpp=0.25), PatchSettings())
    for number in range(plan.cols):
        x, y = plan.xy_level0(number, number)
        assert x == y
        assert abs(x / downsample - 256 * number) <= 0.5 / downsample


def test_tissue_cells_need_more_than_the_share() -> None:
    mask = np.zeros((4, 8), bool)
    mask[0, :4] = True  # a quarter of the left cell
    mask[:2, 4:] = True  # half of the right
    tissue = TissueMask(mask, frame=Frame((32, 16), 1.0))
    plan = plain_plan(16, rows=1, cols=2, field_level0=(32, 16))
    assert plan.tissue_cells(tissue, 0.25).tolist() == [[False, True]]
    assert plan.tissue_cells(tissue, 0.2).tolist() == [[True, True]]
    assert plan.tissue_cells(tissue, 0.5).tolist() == [[False, False]]


def test_margins_are_read_around_the_cells(write_slide, picture: np.ndarray) -> None:
    settings = PatchSettings(mpp=0.5, size_px=64, margin_px=8)
    with open_slide(write_slide(picture)) as slide:  # 0.5 um/px
        plan = plan_patches(slide.info, settings)
        first = plan.read_cell(slide, np.array([0, 0]))
        inner = plan.read_cell(slide, np.array([2, 1]))
    # Cells of 48 px: 1536 / 48 = 32.
    assert (plan.cols, plan.step_px, plan.step_level0) == (32, 48, 48)
    assert plan.xy_level0(0, 0) == (-8, -8)
    assert plan.xy_level0(2, 1) == (40, 88)
    assert (first[:8] == 255).all()
    assert (first[:, :8] == 255).all()
    np.testing.assert_array_equal(first[8:, 8:], picture[:56, :56])
    np.testing.assert_array_equal(inner, picture[88:152, 40:104])


def test_margins_must_leave_a_cell() -> None:
    with pytest.raises(ValueError, match="margin_px 32 on both sides leaves nothing"):
        PatchSettings(size_px=64, margin_px=32)
