import keras
import numpy as np
import pytest
import tensorflow as tf

from h2g.training.losses import (
    DiceCrossEntropy,
    SoftDice,
    mask_loss,
    refinement_loss,
    slide_dice,
)


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


def test_dice_and_cross_entropy_by_hand():
    # As in test_by_hand with 0.1 in place of 0: squares 0.81 + 0.25 + 0.04 + 0.01 = 1.11.
    # Cross-entropy: -(ln 0.9 + ln 0.5 + ln 0.8 + ln 0.9) / 4.
    tumour, truth = np.array([[0.9, 0.5, 0.2, 0.1]]), np.array([[1.0, 1, 0, 0]])
    loss = DiceCrossEntropy()(one_hot(truth), one_hot(tumour))
    entropy = -np.log([0.9, 0.5, 0.8, 0.9]).mean()
    assert float(loss) == pytest.approx(1 - 3.8 / 4.11 + entropy, abs=1e-5)


def test_gradient_of_dice_and_cross_entropy_by_hand():
    # One pixel of tumour, logits 0 and 0: p = 1/2. Dice f = (2p + 1) / (p^2 + 2), so
    # f' = (2 (p^2 + 2) - (2p + 1) 2p) / (p^2 + 2)^2 = (4.5 - 2) / 2.25^2; dp/dz = p (1 - p) = 1/4.
    # Cross-entropy: p - 1 = -1/2. Together -(2.5 / 5.0625) / 4 - 1/2 by the tumour's logit.
    logits = tf.Variable(np.zeros((1, 1, 1, 2)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = DiceCrossEntropy()(one_hot(np.array([[1.0]])), tf.nn.softmax(logits))
    wanted = -(2.5 / 5.0625) / 4 - 0.5
    found = tape.gradient(loss, logits).numpy().ravel()
    np.testing.assert_allclose(found, [-wanted, wanted], rtol=1e-5)


def test_a_wrong_pixel_of_an_empty_slide_still_has_a_gradient():
    # All background and p = 1 - 1e-6 of tumour on 10 000 pixels: Dice is flat there.
    logits = tf.Variable(np.tile([[-7.0, 7.0]], (1, 100, 100, 1)), dtype=tf.float32)
    truth = one_hot(np.zeros((100, 100)))
    steepest = []
    for loss in (SoftDice(), DiceCrossEntropy()):
        with tf.GradientTape() as tape:
            value = loss(truth, tf.nn.softmax(logits)) * 10_000
        steepest.append(float(tf.reduce_max(tf.abs(tape.gradient(value, logits)))))
    assert steepest[0] < 1e-6
    assert steepest[1] == pytest.approx(1, abs=1e-3)


def test_class_weights_by_hand():
    truth, probabilities = slides(seed=4, count=2, classes=3)
    alone = [
        1
        - (2 * (g * p).sum(axis=(1, 2)) + 1)
        / ((g * g).sum(axis=(1, 2)) + (p * p).sum(axis=(1, 2)) + 1)
        for g, p in [(truth[..., c], probabilities[..., c]) for c in (1, 2)]
    ]
    # Tumour classes 1 and 4: a fifth and four fifths. The background's 1 has no part in it.
    dice = (0.2 * alone[0] + 0.8 * alone[1]).mean()
    weights = [1.0, 1.0, 4.0]
    assert float(SoftDice(class_weights=weights)(truth, probabilities)) == pytest.approx(
        dice, abs=1e-5
    )
    # In the cross-entropy over their mean of 2: 1/2, 1/2, 2.
    pixels = -np.log((truth * probabilities).sum(axis=-1)) * (truth @ [0.5, 0.5, 2.0])
    found = float(DiceCrossEntropy(class_weights=weights)(truth, probabilities))
    assert found == pytest.approx(dice + pixels.mean(), abs=1e-5)


@pytest.mark.parametrize("loss", [SoftDice, DiceCrossEntropy])
def test_equal_class_weights_change_nothing(loss):
    truth, probabilities = slides(seed=5, count=2, classes=3)
    weighed = loss(class_weights=[2.0, 2.0, 2.0])(truth, probabilities)
    assert float(weighed) == pytest.approx(float(loss()(truth, probabilities)), rel=1e-5)


def test_the_recipes_loss_with_weights_round_trips():
    names = ("background", "low", "high")
    loss = refinement_loss("dice-crossentropy", names, {"high": 3.0})
    assert loss.class_weights == [1.0, 1.0, 3.0]
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, DiceCrossEntropy)
    assert again.class_weights == loss.class_weights
    plain = refinement_loss("dice", names, "none")
    assert type(plain) is SoftDice
    assert plain.class_weights is None


@pytest.mark.parametrize("loss", [SoftDice(), DiceCrossEntropy(), slide_dice])
def test_pixels_without_truth_cost_nothing(loss):
    rng = np.random.default_rng(0)
    truth = np.eye(3, dtype=np.float32)[rng.integers(0, 3, (2, 4, 5))]
    predicted = rng.dirichlet(np.ones(3), (2, 4, 5)).astype(np.float32)
    truth[:, 2:] = 0
    other = predicted.copy()
    other[:, 2:] = rng.dirichlet(np.ones(3), (2, 2, 5))
    first, second = (np.asarray(loss(truth, each)) for each in (predicted, other))
    np.testing.assert_array_equal(first, second)
    dice = np.asarray(loss(truth[:, :2], predicted[:, :2]))
    if not isinstance(loss, DiceCrossEntropy):  # whose cross-entropy is a mean over all pixels
        np.testing.assert_allclose(first, dice, rtol=1e-6)


def test_dice_over_the_batch_sums_over_all_tiles():
    truth, probabilities = slides(seed=3, count=3, classes=2)
    truth[1:] = [1, 0]  # two tiles without tumour
    g, p = truth[..., 1].astype(float), probabilities[..., 1].astype(float)
    wanted = 1 - (2 * (g * p).sum() + 1) / ((g * g).sum() + (p * p).sum() + 1)
    loss = mask_loss("dice", over_batch=True)
    assert float(loss(truth, probabilities)) == pytest.approx(wanted, abs=1e-6)
    both = mask_loss("dice-crossentropy", over_batch=True)
    log = -(truth * np.log(probabilities)).sum(axis=-1).mean()
    assert float(both(truth, probabilities)) == pytest.approx(wanted + log, abs=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(both))
    assert again.over_batch


def test_tversky_weighs_missed_pixels_more():
    truth = np.array([[1.0, 1, 0, 0]])
    missed, false = np.array([[1.0, 0, 0, 0]]), np.array([[1.0, 1, 1, 0]])
    loss = mask_loss("tversky", over_batch=False)
    # TP 1 of 1 + .7; TP 2 of 2 + .3.
    assert float(loss(one_hot(truth), one_hot(missed))) == pytest.approx(1 - 1 / 1.7, abs=1e-5)
    assert float(loss(one_hot(truth), one_hot(false))) == pytest.approx(1 - 2 / 2.3, abs=1e-5)


@pytest.mark.parametrize("name", ["crossentropy", "focal", "dice", "dice-crossentropy", "tversky"])
@pytest.mark.parametrize("over_batch", [False, True])
def test_pixels_that_nobody_annotated_have_no_gradient(name, over_batch):
    truth, start = slides(seed=4, count=2, classes=3)
    truth[:, :2] = 0
    variable = keras.Variable(start)
    loss = mask_loss(name, over_batch=over_batch)
    gradient = gradient_of(lambda: loss(truth, variable), variable)
    assert np.abs(gradient[:, :2]).max() == 0
    assert np.abs(gradient[:, 2:]).max() > 0
