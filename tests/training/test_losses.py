import keras
import numpy as np
import pytest

from h2g.training.losses import SoftDice


def slides(*, seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """One-hot truth and softmax probabilities, (count, 6, 5, classes)."""
    rng = np.random.default_rng(seed)
    truth = np.eye(classes, dtype="float32")[rng.integers(0, classes, (count, 6, 5))]
    scores = np.exp(rng.normal(size=truth.shape))
    return truth, (scores / scores.sum(axis=-1, keepdims=True)).astype("float32")


def test_by_hand():
    # One slide of 1 x 4 pixels: truth 1 1 0 0, tumour probabilities 0.9 0.5 0.2 0.
    # Overlap 0.9 + 0.5 = 1.4; squares 0.81 + 0.25 + 0.04 = 1.10; truth 2.
    # 1 - (2 * 1.4 + 1) / (1.10 + 2 + 1) = 1 - 3.8 / 4.1 = 0.0731707
    tumour, truth = np.array([[0.9, 0.5, 0.2, 0.0]]), np.array([[1.0, 1, 0, 0]])
    loss = SoftDice()(one_hot(truth), one_hot(tumour))
    assert float(loss) == pytest.approx(1 - 3.8 / 4.1, abs=1e-6)


def test_empty_slide_costs_what_is_predicted_on_it():
    # Nothing true, nothing predicted: 1 - 1/1 = 0. Two pixels of 1.0: 1 - 1 / (2 + 1) = 2/3.
    empty = np.zeros((1, 4))
    assert float(SoftDice()(one_hot(empty), one_hot(empty))) == 0
    two = np.array([[1.0, 1, 0, 0]])
    assert float(SoftDice()(one_hot(empty), one_hot(two))) == pytest.approx(2 / 3, abs=1e-6)


def one_hot(tumour: np.ndarray) -> np.ndarray:
    """(h, w) tumour share as (1, h, w, 2)."""
    return np.stack([1 - tumour, tumour], axis=-1)[None].astype("float32")


@pytest.mark.parametrize("classes", [2, 4])
def test_is_a_mean_over_classes_and_slides(classes):
    truth, probabilities = slides(seed=1, count=3, classes=classes)
    losses = [
        1 - (2 * (g * p).sum() + 1) / ((g * g).sum() + (p * p).sum() + 1)
        for slide in range(3)
        for g, p in [
            (truth[slide, ..., c].astype(float), probabilities[slide, ..., c].astype(float))
            for c in range(1, classes)
        ]
    ]
    assert float(SoftDice()(truth, probabilities)) == pytest.approx(np.mean(losses), abs=1e-6)


def test_gradient_is_that_of_finite_differences():
    truth, start = slides(seed=2, count=2, classes=3)
    loss = SoftDice(dtype="float64")
    variable = keras.Variable(start.astype("float64"), dtype="float64")
    gradient = gradient_of(lambda: loss(truth, variable), variable)
    for place in [(0, 0, 0, 1), (1, 3, 2, 2), (1, 5, 4, 1), (0, 2, 1, 0)]:
        step = np.zeros(start.shape)
        step[place] = 1e-5
        up, down = (float(loss(truth, start + sign * step)) for sign in (1, -1))
        assert gradient[place] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-10)
    assert gradient[0, 0, 0, 1] != 0
    assert not gradient[..., 0].any()  # background is left out


def gradient_of(function, variable) -> np.ndarray:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = function()
    return tape.gradient(value, variable.value).numpy()


def test_round_trip():
    loss = SoftDice(smoothing=3.0)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    truth, probabilities = slides(seed=3, count=1, classes=2)
    assert isinstance(again, SoftDice)
    assert again.smoothing == 3.0
    assert float(again(truth, probabilities)) == float(loss(truth, probabilities))
