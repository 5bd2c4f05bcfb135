from __future__ import annotations

import keras
import numpy as np
import pytest

from h2g.models.mobilenet_v2 import imagenet_file, mobilenet_v2


def test_pixels_reach_the_backbone_in_minus_one_to_one() -> None:
    model = mobilenet_v2((32, 32, 3), alpha=0.35)
    scaled = keras.Model(model.inputs, model.get_layer("to_minus_one_one").output)
    patch = np.zeros((1, 32, 32, 3), np.float32)
    patch[..., 1], patch[..., 2] = 0.5, 1.0
    np.testing.assert_array_equal(scaled.predict_on_batch(patch)[0, 0, 0], [-1.0, 0.0, 1.0])


def test_head_is_the_papers() -> None:
    names = [layer.name for layer in mobilenet_v2((32, 32, 3), dropout=0.25).layers]
    assert names[names.index("out_relu") + 1 :] == [
        "head_pool",
        "head_dense",
        "head_dropout",
        "head_relu",
        "head_bn",
        "output_0_probabilities",
    ]
    assert mobilenet_v2((32, 32, 3), dropout=0.25).get_layer("head_dropout").rate == 0.25


def test_imagenet_files_are_those_that_were_published() -> None:
    prefix = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_"
    assert imagenet_file(256, {"dropout": 0.1}) == f"{prefix}1.0_224_no_top.h5"
    assert imagenet_file(96, {"alpha": 0.35}) == f"{prefix}0.35_96_no_top.h5"
    with pytest.raises(ValueError, match=r"0\.35, 0\.5, .* not for 0\.4"):
        imagenet_file(256, {"alpha": 0.4})
