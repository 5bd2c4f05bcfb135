from __future__ import annotations

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from h2g.errors import WrongUseError
from h2g.models.backbones import (
    BACKBONES,
    MEAN,
    SPREAD,
    build_backbone,
    feature_pyramid,
    find_backbone,
)
from h2g.models.weights import initialise

KERAS_SCALES_OUTSIDE = {
    "mobilenet_v2": keras.applications.mobilenet_v2,
    "inception_v3": keras.applications.inception_v3,
    "vgg16": keras.applications.vgg16,
    "resnet50": keras.applications.resnet,
    "resnet101": keras.applications.resnet,
    "densenet121": keras.applications.densenet,
}


def scaled(name: str, patch: np.ndarray) -> np.ndarray:
    tensor = keras.Input(patch.shape[1:])
    return keras.Model(tensor, BACKBONES[name].scaling(tensor))(patch).numpy()


def patches(side: int) -> np.ndarray:
    return np.random.default_rng(0).random((2, side, side, 3), np.float32)


@pytest.mark.parametrize("name", KERAS_SCALES_OUTSIDE)
def test_scaling_is_keras_preprocessing(name: str) -> None:
    wanted = KERAS_SCALES_OUTSIDE[name].preprocess_input(255 * patches(4))
    np.testing.assert_allclose(scaled(name, patches(4)), wanted, rtol=1e-5, atol=1e-4)


def test_scaling_is_what_efficientnetv2_s_has_inside() -> None:
    wanted = 255 * patches(4) / 128 - 1
    np.testing.assert_allclose(scaled("efficientnetv2_s", patches(4)), wanted, atol=1e-5)


def test_features_equal_those_of_keras() -> None:
    model = build_backbone("vgg16", (48, 48, 3))
    keras_own = keras.applications.VGG16(input_shape=(48, 48, 3), include_top=False, weights=None)
    keras_own.set_weights(model.get_weights())
    wanted = keras_own(keras.applications.vgg16.preprocess_input(255 * patches(48))).numpy()
    assert wanted.std() > 0
    np.testing.assert_allclose(model(patches(48)).numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_efficientnet_files_fit_though_its_own_scaling_is_left_out(tmp_path: Path) -> None:
    keras_own = keras.applications.EfficientNetB0(
        input_shape=(32, 32, 3), include_top=False, weights=None
    )
    # In the published file the variance is the spread itself; Keras's ImageNet network divides by
    # its root once more, behind that layer.
    normalization = next(
        layer for layer in keras_own.layers if isinstance(layer, keras.layers.Normalization)
    )
    normalization.set_weights([np.array(MEAN), np.array(SPREAD) ** 2, np.array(0)])
    keras_own.save_weights(tmp_path / "efficientnet.weights.h5")
    model = build_backbone("efficientnet_b0", (32, 32, 3))
    initialise(
        model, str(tmp_path / "efficientnet.weights.h5"), backbone=BACKBONES["efficientnet_b0"]
    )
    wanted = keras_own(255 * patches(32)).numpy()
    assert wanted.std() > 0
    np.testing.assert_allclose(model(patches(32)).numpy(), wanted, rtol=1e-3, atol=1e-5)


def test_official_files_give_inception_the_features_of_keras(tmp_path: Path) -> None:
    keras_own = keras.applications.InceptionV3(
        input_shape=(75, 75, 3), include_top=False, weights=None
    )
    rng = np.random.default_rng(1)
    for weight in keras_own.weights:
        if "kernel" not in weight.path:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    save_as_published(keras_own, tmp_path / "inception_notop.h5")
    model = build_backbone("inception_v3", (75, 75, 3))
    initialise(model, str(tmp_path / "inception_notop.h5"), backbone=BACKBONES["inception_v3"])
    # The weights were trained on pixels in [-1, 1].
    wanted = keras_own(2 * patches(75) - 1).numpy()
    assert wanted.std() > 0
    np.testing.assert_allclose(model(patches(75)).numpy(), wanted, rtol=1e-4, atol=1e-5)


def save_as_published(network: keras.Model, path: Path) -> None:
    """In the layout of the official files: a whole model's ``model_weights`` at the root."""
    whole = path.with_name(f"whole_{path.name}")
    network.save(whole)
    with h5py.File(whole) as source, h5py.File(path, "w") as target:
        target.attrs.update(source["model_weights"].attrs)
        for layer in source["model_weights"]:
            source.copy(f"model_weights/{layer}", target)


def test_a_padded_inception_sees_the_same_away_from_the_borders() -> None:
    """The stem's third convolution: where the classifier has 43 of 96 / 2 places, the pyramid has
    48; padded convolutions of stride 1 begin one place earlier."""
    keras.utils.set_random_seed(0)
    valid = build_backbone("inception_v3", (96, 96, 3))
    padded = feature_pyramid("inception_v3", (96, 96, 3))
    padded.set_weights(valid.get_weights())
    maps = keras.Model(valid.input, valid.get_layer("activation_2").output)(patches(96)).numpy()
    finest = padded(patches(96))[0].numpy()
    assert maps.shape[1:3] == (45, 45)
    assert finest.shape[1:3] == (48, 48)
    np.testing.assert_allclose(finest[:, 2:44, 2:44], maps[:, 1:43, 1:43], rtol=1e-4, atol=1e-5)


def test_unknown_names_and_sides_that_do_not_halve_are_sentences() -> None:
    with pytest.raises(WrongUseError, match=r"'resnet51'. Did you mean 'resnet50'\?.*vgg16"):
        find_backbone("resnet51")
    with pytest.raises(ValueError, match="100 px is not divisible by 32"):
        feature_pyramid("vgg16", (96, 100, 3))
