import numpy as np
import pytest

from h2g.data.heatmap_noise import changes_heatmaps, disturb_heatmap
from h2g.recipes.refinement import RefinementAugmentation

NOISE = RefinementAugmentation(heatmap=1.0, heatmap_noise=0.7)
SHIFT = RefinementAugmentation(heatmap=1.0, heatmap_shift=0.7)


def softmax_map(classes: int, *, rows: int = 40, cols: int = 30) -> np.ndarray:
    logits = np.random.default_rng(0).normal(size=(rows, cols, classes))
    values = np.exp(logits)
    return (values / values.sum(axis=-1, keepdims=True)).astype(np.float32)


def logits_of(values: np.ndarray) -> np.ndarray:
    """log(p of a class / p of background), (rows, cols, C - 1)."""
    return np.log(values[..., 1:] / values[..., :1])


def change(values: np.ndarray, settings: RefinementAugmentation, number: int = 0) -> np.ndarray:
    return disturb_heatmap(values, seed=3, number=number, settings=settings)


def test_off_by_default():
    assert not changes_heatmaps(RefinementAugmentation())
    assert not changes_heatmaps(RefinementAugmentation(heatmap=0.0, heatmap_noise=1.0))
    assert changes_heatmaps(NOISE)
    assert changes_heatmaps(SHIFT)


@pytest.mark.parametrize("classes", [2, 4])
def test_noise_is_on_the_logits_of_every_cell_by_itself(classes):
    values = softmax_map(classes)
    changed = change(values, NOISE)
    assert changed.dtype == np.float32
    np.testing.assert_allclose(changed.sum(axis=-1), 1, atol=1e-6)
    noise = logits_of(changed) - logits_of(values)
    assert noise.std() == pytest.approx(0.7, rel=0.1)
    assert abs(noise.mean()) < 0.1
    neighbours = np.corrcoef(noise[1:, :, 0].ravel(), noise[:-1, :, 0].ravel())[0, 1]
    assert abs(neighbours) < 0.1


def test_a_shift_is_one_number_a_slide_and_class():
    values = softmax_map(3)
    shifts = []
    for number in range(200):
        shift = logits_of(change(values, SHIFT, number)) - logits_of(values)
        assert np.ptp(shift, axis=(0, 1)).max() < 1e-4
        shifts.append(shift[0, 0])
    assert np.std(shifts) == pytest.approx(0.7, rel=0.15)
    assert abs(np.corrcoef(np.transpose(shifts))[0, 1]) < 0.2


def test_cells_that_were_not_classified_stay_empty_and_certain_ones_certain():
    values = softmax_map(2)
    values[:5] = 0
    values[5] = (1, 0)
    values[6] = (0, 1)
    changed = change(values, NOISE)
    np.testing.assert_array_equal(changed[:7], values[:7])
    assert (changed[7:] != values[7:]).all()


def test_numbers_depend_on_seed_and_number_alone_and_spare_some_slides():
    values = softmax_map(2, rows=3, cols=3)
    half = NOISE.model_copy(update={"heatmap": 0.5})
    maps = [change(values, half, number) for number in range(200)]
    for again, number in [(maps[17], 17), (maps[4], 4)]:
        np.testing.assert_array_equal(change(values, half, number), again)
    spared = sum(np.array_equal(one, values) for one in maps)
    assert 70 < spared < 130
    assert len({one.tobytes() for one in maps}) == 200 - spared + 1
    other = disturb_heatmap(values, seed=4, number=0, settings=NOISE)
    assert not np.array_equal(other, change(values, NOISE))
