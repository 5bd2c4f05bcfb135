import keras
import numpy as np
import pytest

from h2g.training.losses import slide_dice


def pixels(*rows: list[float]) -> np.ndarray:
    """Tumour shares, a row a slide, as (N, 1, width, 2)."""
    tumour = np.array(rows, "float32")[:, None, :]
    return np.stack([1 - tumour, tumour], axis=-1)


def test_by_hand():
    # Slide 1: truth 1 1 0, predicted (> 0.5) 1 0 1: 2 * 1 / (2 + 2) = 0.5; 0.5 itself is no tumour.
    # Slide 2: truth empty, predicted empty: 1. Slide 3: truth empty, one pixel: 0.
    truth = pixels([1, 1, 0], [0, 0, 0], [0, 0, 0])
    probabilities = pixels([0.9, 0.5, 0.6], [0.2, 0.5, 0.0], [0.0, 0.0, 0.7])
    np.testing.assert_allclose(slide_dice(truth, probabilities), [0.5, 1, 0])


def test_is_a_mean_over_tumour_classes():
    # Class 1: truth px 0, predicted px 0: 1. Class 2: truth px 1, predicted none: 0. Mean 0.5.
    truth = np.eye(3, dtype="float32")[[1, 2, 0]].reshape(1, 1, 3, 3)
    predicted = np.eye(3, dtype="float32")[[1, 0, 0]].reshape(1, 1, 3, 3)
    assert float(slide_dice(truth, predicted)[0]) == pytest.approx(0.5)


def test_keras_averages_over_slides_of_uneven_batches():
    # Slides 1, 1, 0.5: mean 2.5 / 3, not the mean of the batches' means (0.75).
    inputs = keras.Input((1, 3, 2))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(loss="mse", metrics=[slide_dice])
    truth = pixels([1, 0, 0], [0, 0, 0], [1, 1, 0])
    predicted = pixels([1, 0, 0], [0, 0, 0], [1, 0, 1])
    scores = model.evaluate(predicted, truth, batch_size=2, verbose=0, return_dict=True)
    assert scores["slide_dice"] == pytest.approx(2.5 / 3)
