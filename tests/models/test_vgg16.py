from __future__ import annotations

import keras
import numpy as np

from h2g.models.vgg16 import vgg16


def test_features_are_those_of_keras_on_pixels_prepared_its_way() -> None:
    model = vgg16((48, 48, 3))
    keras_own = keras.applications.VGG16(
        input_shape=(48, 48, 3), include_top=False, pooling="avg", weights=None
    )
    keras_own.set_weights(model.get_weights())
    patches = np.random.default_rng(0).random((3, 48, 48, 3), np.float32)
    prepared = keras.applications.vgg16.preprocess_input(patches * 255)
    wanted = np.asarray(keras_own(prepared))
    assert wanted.std() > 0
    np.testing.assert_allclose(np.asarray(model(patches)), wanted, rtol=1e-4, atol=1e-4)
    assert model.count_params() == 14_714_688
