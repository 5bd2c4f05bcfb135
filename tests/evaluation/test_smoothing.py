"""The smoothing baseline on heatmaps made by hand."""

import numpy as np
import pytest

from h2g.evaluation.smoothing import CANDIDATES_UM, choose_smoothing, smoothed_labels
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap

CLASSES = ("background", "tumour")


def heatmap_of(tumour: np.ndarray, *, slide_mpp: float = 1.0) -> Heatmap:
    """Cells of 256 um."""
    step = 256 / slide_mpp
    rows, cols = tumour.shape
    values = np.stack([1 - tumour, tumour], axis=-1).astype(np.float32)
    return Heatmap(values, step, Frame((round(cols * step), round(rows * step)), slide_mpp))


def test_width_0_is_the_plain_threshold() -> None:
    # 0.5 itself is not tumour.
    tumour = np.array([[0.5, 0.51], [0.9, 0.0]])
    labels = smoothed_labels(heatmap_of(tumour), (4, 4), sigma_um=0)
    assert labels.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]


def test_a_step_keeps_its_place_and_a_hole_is_closed() -> None:
    tumour = np.zeros((10, 10))
    tumour[:, :5] = 1.0
    tumour[5, 2] = 0.0
    labels = smoothed_labels(heatmap_of(tumour), (100, 100), sigma_um=256)
    # Far from hole and borders the half-way point of a blurred step is the step.
    assert labels[20, :50].all()
    assert not labels[20, 50:].any()
    # The hole is a square of one sigma: at its centre the Gaussian's mass within +-sigma/2 an axis
    # is .383^2 = .147, so .853 of tumour is left there.
    assert labels[55, 25] == 1
    assert smoothed_labels(heatmap_of(tumour), (100, 100), sigma_um=0)[55, 25] == 0


@pytest.mark.parametrize(
    ("slide_mpp", "size_px"), [(0.25, (100, 100)), (1.0, (200, 50)), (1.0, (37, 123))]
)
def test_the_width_is_in_um_whatever_the_raster(slide_mpp: float, size_px: tuple[int, int]) -> None:
    # A lone tumour cell of 256 um: at its centre erf(128 / (sqrt(2) sigma))^2 of it is left:
    # .558 with 112 um, .486 with 124 um: the threshold lies between the two.
    tumour = np.zeros((5, 5))
    tumour[2, 2] = 1.0
    heatmap = heatmap_of(tumour, slide_mpp=slide_mpp)
    centre = size_px[1] // 2, size_px[0] // 2
    assert smoothed_labels(heatmap, size_px, sigma_um=112)[centre] == 1
    assert not smoothed_labels(heatmap, size_px, sigma_um=124).any()


def test_outside_the_field_is_no_tumour() -> None:
    tumour = np.ones((1, 10))
    labels = smoothed_labels(heatmap_of(tumour), (100, 10), sigma_um=640)
    # One row of 256 um under 640 um: erf(128 / (sqrt(2) 640)) = .158 is left.
    assert not labels.any()


def noisy_slide(seed: int, wrong: float) -> tuple[Heatmap, np.ndarray]:
    """A disc of tumour in which, and around which, a share of the patches is called wrongly."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24]
    tumour = (x - 11.5) ** 2 + (y - 11.5) ** 2 < 64
    called = np.where(rng.random(tumour.shape) < wrong, ~tumour, tumour)
    truth = np.kron(tumour, np.ones((4, 4))).astype(np.uint8)
    return heatmap_of(0.8 * called + 0.1), truth


def test_noise_is_smoothed_and_a_clean_heatmap_is_left_alone() -> None:
    noisy = choose_smoothing([noisy_slide(seed, 0.15) for seed in (1, 2)], CLASSES)
    assert 128 <= noisy.sigma_um < 640
    assert noisy.mean_dice[noisy.sigma_um] == max(noisy.mean_dice.values())
    assert noisy.mean_dice[noisy.sigma_um] > noisy.mean_dice[0] + 0.05
    assert tuple(noisy.mean_dice) == CANDIDATES_UM
    clean = choose_smoothing([noisy_slide(1, 0.0)], CLASSES)
    # Without wrong patches nothing beats the truth itself; of equals the smallest.
    assert clean.sigma_um == 0
    assert clean.mean_dice[0] == 1.0


def test_the_mean_over_slides_decides() -> None:
    # Candidate by candidate the mean of the two slides' own figures.
    slides = [noisy_slide(3, 0.2), noisy_slide(4, 0.05)]
    both = choose_smoothing(slides, CLASSES)
    alone = [choose_smoothing([slide], CLASSES) for slide in slides]
    for sigma_um in CANDIDATES_UM:
        mean = sum(single.mean_dice[sigma_um] for single in alone) / 2
        assert both.mean_dice[sigma_um] == pytest.approx(mean)
