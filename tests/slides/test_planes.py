from pathlib import Path

import cv2
import numpy as np
import pytest

from h2g.recipes.preprocessing import LowResolutionSettings
from h2g.slides import planes
from h2g.slides.info import Level, slide_info
from h2g.slides.reading import (
    Slide,
    low_resolution_size,
    open_slide,
    read_low_resolution,
    read_plane,
)


@pytest.fixture(params=[96, 250, 2048])
def block_px(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Blocks that fit pixels, that cut them, and one that holds all."""
    monkeypatch.setattr(planes, "BLOCK_PX", request.param)
    return request.param


@pytest.mark.parametrize("mpp", [4.0, 5.7, 8.0, 300.0])
def test_area_means_do_not_depend_on_blocks(
    write_slide, picture: np.ndarray, block_px: int, mpp: float
) -> None:
    with open_slide(write_slide(picture)) as slide:  # 0.5 um/px, 1536 x 1024
        plane = read_plane(slide, mpp)
    size = (round(1536 * 0.5 / mpp), round(1024 * 0.5 / mpp))
    expected = cv2.resize(picture.astype(np.float64), size, interpolation=cv2.INTER_AREA)
    assert plane.rgb.shape == (size[1], size[0], 3)
    np.testing.assert_allclose(plane.rgb, expected, atol=0.502)  # rounded to the nearest
    assert plane.frame.field_level0 == (1536, 1024)
    assert plane.frame.mpp == 0.5
    assert plane.mpp == pytest.approx(mpp, rel=0.2 if mpp > 100 else 0.02)


def test_a_level_near_the_wanted_resolution_is_taken_as_it_is(
    write_slide, picture: np.ndarray, block_px: int
) -> None:
    with open_slide(write_slide(picture, downsamples=(4,))) as slide:  # 0.5 and 2 um/px
        plane = read_plane(slide, 2.1)
        level = slide.read_level(level=1, xy_level0=(0, 0), size_px=(384, 256))
        finest = read_plane(slide, 0.1)
    np.testing.assert_array_equal(plane.rgb, level)
    np.testing.assert_array_equal(finest.rgb, picture)  # nothing is magnified


def test_averages_come_from_the_next_finer_level(
    write_slide, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    read_level = Slide.read_level

    def spy(self, *, level, xy_level0, size_px):
        read.append(level)
        return read_level(self, level=level, xy_level0=xy_level0, size_px=size_px)

    monkeypatch.setattr(Slide, "read_level", spy)
    with open_slide(write_slide(picture, downsamples=(2, 8))) as slide:  # 0.5, 1 and 4 um/px
        plane = read_plane(slide, 3.0)
    assert set(read) == {1}
    expected = cv2.resize(picture.astype(np.float64), (256, 171), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(plane.rgb, expected, atol=1.01)


def test_the_coarsest_level_is_bounded(
    write_slide, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_slide(write_slide(picture, downsamples=(4,))) as slide:
        assert read_plane(slide, None).rgb.shape == (256, 384, 3)
    monkeypatch.setattr(planes, "LARGEST_PLANE_PX", 1000)
    with open_slide(write_slide(picture)) as slide:
        plane = read_plane(slide, None)
    # 1536 / 1000: halved
    means = picture.reshape(512, 2, 768, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(plane.rgb, means, atol=0.502)


def test_low_resolution_size() -> None:
    sizes = ((80_000, 40_000), (20_000, 10_000), (5000, 2500), (1250, 625))
    levels = [Level(size, 4.0**number) for number, size in enumerate(sizes)]
    info = slide_info(Path("a.svs"), {}, levels, mpp=0.25)
    paper = LowResolutionSettings()
    # The coarsest with both sides >= 1024.
    assert low_resolution_size(info, paper) == (5000, 2500)
    assert low_resolution_size(info, LowResolutionSettings(min_side_px=600)) == (1250, 625)
    assert low_resolution_size(info, LowResolutionSettings(level="coarsest")) == (1250, 625)
    # 20,000 / 8192: a third
    two = slide_info(Path("a.svs"), {}, levels[:2], mpp=0.25)
    assert low_resolution_size(two, paper) == (6667, 3333)
    # No level is large enough: level 0.
    small = slide_info(Path("a.svs"), {}, [Level((900, 2000), 1.0), Level((450, 1000), 2.0)])
    assert low_resolution_size(small, paper) == (900, 2000)


def test_low_resolution_picture(write_slide, picture: np.ndarray, block_px: int) -> None:
    settings = LowResolutionSettings(max_side_px=600)
    with open_slide(write_slide(picture)) as slide:
        plane = read_low_resolution(slide, settings)
        assert low_resolution_size(slide.info, settings) == (512, 341)
    # A third of 1536 x 1024
    expected = cv2.resize(picture.astype(np.float64), (512, 341), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(plane.rgb, expected, atol=0.502)


def test_no_read_is_larger_than_a_block(
    write_slide, picture: np.ndarray, block_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[int] = []
    read_level = Slide.read_level

    def spy(self, *, level, xy_level0, size_px):
        sides.extend(size_px)
        return read_level(self, level=level, xy_level0=xy_level0, size_px=size_px)

    monkeypatch.setattr(Slide, "read_level", spy)
    with open_slide(write_slide(picture)) as slide:
        read_plane(slide, 8.0)
        read_plane(slide, None)
        read_low_resolution(slide, LowResolutionSettings())
    assert sides
    assert max(sides) <= block_px
