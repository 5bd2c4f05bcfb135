from __future__ import annotations

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from h2g.models.inception_v3 import FEATURES, imagenet_file, inception_v3
from h2g.models.registry import build_patch_model

PX = 75


@pytest.fixture(scope="module")
def backbone() -> keras.Model:
    """Keras's own; its batch norms are those of no fresh network."""
    bare = keras.applications.InceptionV3(input_shape=(PX, PX, 3), include_top=False, weights=None)
    rng = np.random.default_rng(1)
    for weight in bare.weights:
        if "kernel" not in weight.path:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return bare


@pytest.fixture(scope="module")
def official_file(backbone: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the layout of the official files: a whole model's ``model_weights`` at the root."""
    folder = tmp_path_factory.mktemp("weights")
    backbone.save(folder / "whole.h5")
    path = folder / imagenet_file(PX, {})
    with h5py.File(folder / "whole.h5") as source, h5py.File(path, "w") as target:
        target.attrs.update(source["model_weights"].attrs)
        for layer in source["model_weights"]:
            source.copy(f"model_weights/{layer}", target)
    return path


def test_official_files_make_it_keras_own_backbone(
    backbone: keras.Model, official_file: Path
) -> None:
    model = build_patch_model("inception_v3", size_px=PX, weights=str(official_file))
    features = keras.Model(model.inputs[0], model.get_layer(FEATURES).output)
    patch = np.random.default_rng(0).random((1, PX, PX, 3), np.float32)
    # The weights were trained on pixels in [-1, 1].
    wanted = backbone(2 * patch - 1).numpy()
    assert wanted.std() > 0
    np.testing.assert_allclose(features(patch).numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_head_is_the_papers() -> None:
    model = inception_v3((PX, PX, 3), dropout=0.25)
    names = [layer.name for layer in model.layers]
    assert names[names.index(FEATURES) + 1 :] == [
        "head_pool",
        "head_dense",
        "head_dropout",
        "head_relu",
        "head_bn",
        "output_0_probabilities",
    ]
    assert model.get_layer("head_dropout").rate == 0.25
    assert {"conv2d_0", "conv2d_93", "batch_normalization_93", "mixed9_1"} <= {*names}
