"""Windows of a low-resolution image: their places, contents and blending."""

import cv2
import numpy as np
import pytest

from h2g.errors import SlideError
from h2g.recipes.preprocessing import LowResolutionSettings, WindowSettings
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.slides.windows import WindowBlend, cut_heatmap, cut_image, window_corners


def windows(side_px: int = 32, overlap: float = 0.5, mpp: float = 8.0) -> WindowSettings:
    return WindowSettings(side_px=side_px, mpp=mpp, overlap=overlap)


@pytest.mark.parametrize(
    ("size_px", "overlap", "corners"),
    [
        ((32, 32), 0.5, [(0, 0)]),
        ((64, 32), 0.0, [(0, 0), (32, 0)]),
        ((65, 32), 0.0, [(0, 0), (16, 0), (33, 0)]),
        ((64, 40), 0.5, [(0, 0), (16, 0), (32, 0), (0, 8), (16, 8), (32, 8)]),
        ((20, 64), 0.0, [(-6, 0), (-6, 32)]),
        ((21, 33), 0.75, [(-5, 0), (-5, 1)]),
    ],
)
def test_places(size_px: tuple[int, int], overlap: float, corners: list[tuple[int, int]]) -> None:
    assert window_corners(size_px, windows(overlap=overlap)) == corners


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
def test_neighbours_share_at_least_the_overlap(overlap: float) -> None:
    for length in range(33, 200, 7):
        xs = sorted({x for x, _ in window_corners((length, 32), windows(overlap=overlap))})
        assert xs[0] == 0
        assert xs[-1] == length - 32
        assert np.diff(xs).max() <= 32 * (1 - overlap) + 1


def test_pixels_outside_are_filled() -> None:
    image = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    assert cut_image(image, (-1, 1), 4, fill=0).tolist() == [
        [0, 5, 6, 7],
        [0, 9, 10, 11],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert cut_image(image, (2, 1), 2, fill=0).tolist() == [[7, 8], [11, 12]]


@pytest.mark.parametrize("size_px", [(90, 70), (20, 90), (20, 24), (32, 32)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_the_windows_of_an_image_blend_to_that_image(
    size_px: tuple[int, int], overlap: float
) -> None:
    width, height = size_px
    image = np.random.default_rng(0).random((height, width, 2), np.float32)
    settings = windows(overlap=overlap)
    blend = WindowBlend(size_px, settings)
    for corner in window_corners(size_px, settings):
        blend.add(corner, cut_image(image, corner, 32, fill=0))
    np.testing.assert_allclose(blend.field(), image, rtol=1e-5)


def test_a_window_counts_most_at_its_centre() -> None:
    settings = windows(side_px=16)
    blend = WindowBlend((24, 16), settings)
    assert window_corners((24, 16), settings) == [(0, 0), (8, 0)]
    blend.add((0, 0), np.zeros((16, 16, 1), np.float32))
    blend.add((8, 0), np.ones((16, 16, 1), np.float32))
    row = blend.field()[7, :, 0]
    assert (row[:8] == 0).all()
    assert (row[16:] == 1).all()
    assert (np.diff(row[7:17]) > 0).all()
    np.testing.assert_allclose(row[8:16], 1 - row[8:16][::-1], atol=1e-6)


def stretched(values: np.ndarray, side: int) -> np.ndarray:
    """Bilinear with half-pixel centres, as OpenCV does it."""
    return cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR)


def test_a_heatmap_is_sampled_between_the_centres_of_its_cells() -> None:
    values = np.random.default_rng(0).random((8, 8, 2), np.float32)
    heatmap = Heatmap(values, 100.0, Frame((800, 800), 0.5))
    # A window over the whole field is what a resize of the grid gives, and others are its parts.
    whole = cut_heatmap(heatmap, (64, 64), (0, 0), 64)
    np.testing.assert_allclose(whole, stretched(values, 64), atol=1e-5)
    part = cut_heatmap(heatmap, (64, 64), (23, 9), 16)
    np.testing.assert_allclose(part, whole[9:25, 23:39], atol=1e-6)
    over_the_edge = cut_heatmap(heatmap, (64, 64), (-8, 56), 16)
    np.testing.assert_allclose(over_the_edge[:8, 8:], whole[56:, :8], atol=1e-6)
    assert (over_the_edge[8:] == 0).all()
    assert (over_the_edge[:, :8] == 0).all()


def test_a_heatmap_is_placed_by_level_0_pixels_and_not_stretched() -> None:
    # The grid reaches beyond the field, so that its cells do not fill the image evenly.
    values = np.zeros((2, 2, 1), np.float32)
    values[:, 1] = 1
    heatmap = Heatmap(values, 100.0, Frame((120, 200), 0.5))
    row = cut_heatmap(heatmap, (120, 200), (0, 0), 120)[10, :, 0]
    assert (row[:50] == 0).all()  # up to the centre of the first cell
    np.testing.assert_allclose(row[100], 0.505, atol=1e-4)  # where the two cells meet
    np.testing.assert_allclose(row[119], 0.695, atol=1e-4)


def test_the_image_has_the_resolution_of_the_windows(write_slide, picture: np.ndarray) -> None:
    settings = LowResolutionSettings(windows=windows(mpp=2.0))
    with open_slide(write_slide(picture), mpp=0.5) as slide:
        plane = read_low_resolution(slide, settings)
        width, height = slide.info.field_level0
    assert plane.windows is not None
    assert plane.windows.size_px == (width // 4, height // 4)
    expected = cv2.resize(picture, plane.windows.size_px, interpolation=cv2.INTER_AREA)
    assert np.abs(plane.windows.rgb.astype(int) - expected).mean() < 3


def test_windows_finer_or_larger_than_the_slide_are_sentences(
    write_slide, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_slide(write_slide(picture, description=None), mpp=4.0) as slide:
        finer = LowResolutionSettings(windows=windows(mpp=2.0))
        with pytest.raises(SlideError, match="finest level has 4 um/px, but windows of 0.064 mm"):
            read_low_resolution(slide, finer)
        monkeypatch.setattr("h2g.slides.planes.LARGEST_PLANE_PX", 50)
        with pytest.raises(SlideError, match="50 px per side is the limit"):
            read_low_resolution(slide, LowResolutionSettings(windows=windows(mpp=4.0)))
