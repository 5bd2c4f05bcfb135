from pathlib import Path

import numpy as np
import pytest

from h2g.errors import SlideError
from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.info import Level, SlideInfo, slide_info
from h2g.slides.reading import open_slide, plan_patches, read_patch


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
        patch = read_patch(slide, plan, (128, 64))
        corner = read_patch(slide, plan, (1536 - 32, 0))
    np.testing.assert_array_equal(patch, picture[64:128, 128:192])
    np.testing.assert_array_equal(corner[:, :32], picture[:64, -32:])
    assert (corner[:, 32:] == 255).all()


def test_resampled_patches_are_area_means(write_slide, picture: np.ndarray) -> None:
    with open_slide(write_slide(picture)) as slide:
        plan = plan_patches(slide.info, PatchSettings(mpp=2.0, size_px=64))
        assert plan.read_px == 256
        patch = read_patch(slide, plan, (256, 512))
    means = picture[512:768, 256:512].reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(patch, means, atol=0.51)
