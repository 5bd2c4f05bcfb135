import numpy as np
import pytest
import tensorflow as tf

from h2g.data.stain import (
    DEFAULT_STAIN_MATRIX,
    augment_stains,
    macenko_stain_matrix,
    shift_stains,
)

# Unit vectors, unlike the default's.
STAINS = np.array([[0.55, 0.75, 0.37], [0.15, 0.95, 0.27]])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)


def stained(concentrations: np.ndarray) -> np.ndarray:
    """RGB in [0, 1] of (..., 2) concentrations, natural logarithm."""
    return np.exp(-concentrations @ STAINS)


def slide(tissue_px: int, side: int = 200) -> np.ndarray:
    """uint8: white, with pixels of all mixtures from pure haematoxylin to pure eosin."""
    rng = np.random.default_rng(0)
    share = np.clip(rng.uniform(-0.1, 1.1, tissue_px), 0, 1)
    amount = rng.uniform(0.6, 1.6, tissue_px)
    pixels = np.full((side * side, 3), 255, np.uint8)
    mixed = stained(np.stack([share * amount, (1 - share) * amount], axis=1))
    pixels[:tissue_px] = np.rint(255 * mixed)
    return pixels.reshape(side, side, 3)


def angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))


def test_the_matrix_is_found() -> None:
    found = macenko_stain_matrix(slide(20_000))
    assert found.shape == (2, 3)
    assert found.dtype == np.float32
    # Haematoxylin, which absorbs more red, first; the default is 6 degrees and more away.
    assert angle_deg(found[0], STAINS[0]) < 1.5
    assert angle_deg(found[1], STAINS[1]) < 1.5
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_large_slide_is_sampled() -> None:
    found = macenko_stain_matrix(slide(1_500_000, side=1300))
    assert angle_deg(found[0], STAINS[0]) < 1.5
    assert angle_deg(found[1], STAINS[1]) < 1.5


def test_too_little_to_see_gives_the_default() -> None:
    np.testing.assert_array_equal(macenko_stain_matrix(slide(900)), DEFAULT_STAIN_MATRIX)
    one_colour = np.full((100, 100, 3), (120, 60, 140), np.uint8)
    np.testing.assert_array_equal(macenko_stain_matrix(one_colour), DEFAULT_STAIN_MATRIX)
    black = np.zeros((100, 100, 3), np.uint8)
    np.testing.assert_array_equal(macenko_stain_matrix(black), DEFAULT_STAIN_MATRIX)


def shift(images: np.ndarray, alpha: list, beta: list) -> np.ndarray:
    matrices = np.broadcast_to(STAINS, (len(images), 2, 3)).astype(np.float32)
    return shift_stains(
        tf.constant(images, tf.float32),
        tf.constant(matrices),
        alpha=tf.constant(alpha, tf.float32),
        beta=tf.constant(beta, tf.float32),
    ).numpy()


def test_concentrations_are_scaled_and_shifted() -> None:
    concentrations = np.random.default_rng(0).uniform(0.5, 1, (2, 3, 4, 2))
    # Each stain of each sample by itself.
    alpha, beta = [[1.1, 0.9], [1.0, 1.05]], [[0.05, -0.1], [0.1, 0.0]]
    found = shift(stained(concentrations), alpha, beta)
    expected = concentrations * np.array(alpha)[:, None, None] + np.array(beta)[:, None, None]
    np.testing.assert_allclose(found, stained(expected), atol=1e-5)


def test_what_no_stain_explains_stays() -> None:
    # A density along the normal of the stains' plane holds neither of them.
    normal = np.cross(*STAINS)
    normal /= np.linalg.norm(normal)
    concentrations = np.array([0.8, 0.6])
    pixel = np.exp(-(concentrations @ STAINS + 0.05 * normal))
    found = shift(pixel[None, None, None], [[1.1, 1.1]], [[0, 0]])[0, 0, 0]
    expected = np.exp(-(1.1 * concentrations @ STAINS + 0.05 * normal))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_background_stays() -> None:
    # Lengths of -log10: white 0, (240, 240, 240) 0.05, (150, 150, 150) 0.40; the limit is 0.15.
    greys = np.array([255, 240, 150]) / 255
    images = np.repeat(greys[None, None, :, None], 3, axis=3).astype(np.float32)
    found = shift(images, [[1.1, 1.1]], [[0.1, 0.1]])
    np.testing.assert_array_equal(found[0, 0, :2], images[0, 0, :2])
    assert (found[0, 0, 2] < images[0, 0, 2] - 0.01).all()


def draw_stains(batch: int, probability: float, seed: int = 0) -> np.ndarray:
    """(200, 2) concentrations after augmentation of samples that all had (1, 1)."""
    images = np.broadcast_to(stained(np.ones(2)), (200, 1, 1, 3)).astype(np.float32)
    matrices = np.broadcast_to(STAINS, (200, 2, 3)).astype(np.float32)
    found = augment_stains(
        tf.constant(images),
        tf.constant(matrices),
        tf.constant(batch, tf.int64),
        seed=seed,
        sigma=(0.1, 0.05),
        probability=probability,
    ).numpy()
    return -np.log(found[:, 0, 0]) @ np.linalg.pinv(STAINS)


def test_augmentation_stays_in_its_range() -> None:
    changes = draw_stains(0, probability=1.0) - 1
    # At most 0.1 from the factor and 0.05 from the shift.
    assert np.abs(changes).max() <= 0.15 + 1e-4
    assert np.abs(changes).max() > 0.1
    assert abs(np.corrcoef(changes.T)[0, 1]) < 0.25  # the stains change independently


def test_augmentation_is_by_chance_and_number() -> None:
    changed = np.abs(draw_stains(0, probability=0.5) - 1).max(axis=1) > 1e-4
    assert 0.36 < changed.mean() < 0.64  # 0.5 expected, standard deviation 0.035
    np.testing.assert_array_equal(draw_stains(3, 0.5), draw_stains(3, 0.5))
    assert (draw_stains(3, 0.5) != draw_stains(4, 0.5)).any()


@pytest.mark.parametrize("row", [0, 1])
def test_the_default_is_of_unit_length(row: int) -> None:
    assert np.linalg.norm(DEFAULT_STAIN_MATRIX[row]) == pytest.approx(1)
