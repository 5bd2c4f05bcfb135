"""Random windows of training slides."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from h2g.annotations.raster import UNKNOWN
from h2g.data.patch_source import BatchSettings
from h2g.data.random_windows import RandomWindows, draw_corner
from h2g.data.refinement_dataset import ExampleSource, RefinementExample, refinement_dataset
from h2g.data.stain import DEFAULT_STAIN_MATRIX
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.png_files import write_png
from h2g.slides.tiff_files import write_heatmap

SIDE = 16
SETTINGS = BatchSettings(batch_size=4, class_count=2, seed=5, workers=2)


@pytest.fixture
def example(tmp_path: Path) -> RefinementExample:
    """A slide of 60 x 40 pixels whose image names its pixels, with tumour in one corner.

    The heatmap has a cell per pixel, so that it can be compared with the truth.
    """
    y, x = np.mgrid[:40, :60].astype(np.uint8)
    truth = np.zeros((40, 60), np.uint8)
    truth[30:36, 50:58] = 1
    truth[:5] = UNKNOWN
    files = [tmp_path / name for name in ("image.png", "truth.png", "heatmap.tiff")]
    write_png(files[0], np.dstack([x, y, np.zeros_like(x)]))
    write_png(files[1], truth)
    tumour = (truth == 1).astype(np.float32)
    heatmap = Heatmap(np.dstack([1 - tumour, tumour]), 10.0, Frame((600, 400), 0.5))
    write_heatmap(files[2], heatmap)
    return RefinementExample("a", *files, stain_matrix=DEFAULT_STAIN_MATRIX)


def test_image_heatmap_and_truth_are_of_one_place(example: RefinementExample) -> None:
    windows = RandomWindows(side_px=SIDE, tumour_share=0.5, seed=3)
    corners = set()
    for number in range(40):
        image, heatmap, truth = windows.load(example, None, number)
        assert image.shape == (SIDE, SIDE, 3)
        x, y = map(int, image[0, 0, :2])
        corners.add((x, y))
        np.testing.assert_array_equal(image[..., 0], x + np.arange(SIDE)[None].repeat(SIDE, 0))
        np.testing.assert_allclose(heatmap[..., 0], truth == 1, atol=1e-6)
        assert (truth == 1).sum() == _tumour_pixels(x, y)
        again = RandomWindows(side_px=SIDE, tumour_share=0.5, seed=3).load(example, None, number)
        np.testing.assert_array_equal(again[0], image)
    assert len(corners) > 30


def _tumour_pixels(x: int, y: int) -> int:
    """Pixels of the example's tumour in a window."""
    width = max(0, min(x + SIDE, 58) - max(x, 50))
    height = max(0, min(y + SIDE, 36) - max(y, 30))
    return width * height


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_windows_on_tumour(example: RefinementExample, share: float) -> None:
    windows = RandomWindows(side_px=SIDE, tumour_share=share, seed=1)
    loaded = [windows.load(example, None, number)[2] for number in range(300)]
    found = np.mean([(truth == 1).any() for truth in loaded])
    # Tumour is in few of the windows that lie anywhere: those that start after (34, 14).
    anywhere = (10 / 45) * (10 / 25)
    assert found == pytest.approx(share + (1 - share) * anywhere, abs=0.07)


def test_a_smaller_slide_lies_whole_in_its_window(example: RefinementExample) -> None:
    windows = RandomWindows(side_px=64, tumour_share=1.0, seed=1)
    places = set()
    for number in range(20):
        image, heatmap, truth = windows.load(example, None, number)
        assert (truth == 1).sum() == 48
        rows, cols = np.nonzero(image[..., 2] == 0)
        assert (rows.max() - rows.min() + 1, cols.max() - cols.min() + 1) == (40, 60)
        places.add((int(rows.min()), int(cols.min())))
        outside = np.ones((64, 64), bool)
        outside[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1] = False
        assert (image[outside] == 255).all()
        assert (heatmap[outside] == 0).all()
        assert (truth[outside] == 0).all()
    assert len(places) > 10


def test_every_wanted_pixel_is_held_from_any_side() -> None:
    wanted = np.zeros((30, 30), bool)
    wanted[12, 3] = True
    rng = np.random.default_rng(0)
    corners = {draw_corner(wanted, 8, rng, wanted=wanted) for _ in range(300)}
    assert corners == {(x, y) for x in range(4) for y in range(5, 13)}
    nowhere = draw_corner(wanted, 8, rng, wanted=np.zeros_like(wanted))
    assert all(0 <= start <= 22 for start in nowhere)


def test_changes_of_the_heatmap_reach_the_windows(example: RefinementExample) -> None:
    windows = RandomWindows(side_px=SIDE, tumour_share=0, seed=1)
    _, heatmap, _ = windows.load(example, lambda values: values * 0 + 0.25, 0)
    np.testing.assert_allclose(heatmap, 0.25)


def test_an_epoch_holds_several_windows_of_every_slide(example: RefinementExample) -> None:
    windows = RandomWindows(side_px=SIDE, tumour_share=0.5, seed=1)
    source = ExampleSource([example], SETTINGS, shuffle=True, load=windows.load, repeats=4)
    dataset = refinement_dataset(source, input_px=SIDE, augmentation=None).take(2)
    with source.raising_failure():
        batches = [(images.numpy(), truths.numpy()) for (images, _), truths in dataset]
    for batch, (images, truths) in enumerate(batches):
        for place in range(4):
            image, _, truth = windows.load(example, None, 4 * batch + place)
            np.testing.assert_allclose(images[place], image / 255, atol=1e-6)
            # An unknown pixel has no class.
            np.testing.assert_array_equal(truths[place].sum(-1), truth != UNKNOWN)
    assert cv2.norm(batches[0][0], batches[1][0]) > 0
