from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from h2g.models.architectures.resnext import GroupedConv2D, resnext101


@pytest.mark.parametrize(("strides", "padding"), [(1, "same"), (2, "same"), (2, "valid")])
def test_grouped_convolution_is_that_of_keras(strides: int, padding: str) -> None:
    maps = np.random.default_rng(0).random((2, 9, 9, 12), np.float32)
    keras_own = keras.layers.Conv2D(
        8, 3, groups=4, strides=strides, padding=padding, use_bias=False
    )
    wanted = keras_own(maps)
    ours = GroupedConv2D(8, 3, groups=4, strides=strides, padding=padding)
    ours.build(maps.shape)
    ours.set_weights(keras_own.get_weights())
    np.testing.assert_allclose(ours(maps), wanted, rtol=1e-5, atol=1e-6)
    again = GroupedConv2D.from_config(ours.get_config())
    again.build(maps.shape)
    again.set_weights(keras_own.get_weights())
    np.testing.assert_allclose(again(maps), wanted, rtol=1e-5, atol=1e-6)


def test_channels_that_do_not_divide_into_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="10 channels and 8 filters do not divide into 4 groups"):
        GroupedConv2D(8, 3, groups=4).build((1, 9, 9, 10))


def test_parameters_are_those_of_the_32x4d_network() -> None:
    model = resnext101((32, 32, 3))
    assert model.count_params() == 42_266_560
    # The published 44,177,704 are with 1,000 classes: 2048 x 1000 + 1000.
    trainable = sum(int(ops.size(weight)) for weight in model.trainable_weights)
    assert trainable + 2_049_000 == 44_177_704
    names = {layer.name for layer in model.layers}
    assert {"conv2_block3_out", "conv3_block4_out", "conv4_block23_out"} <= names
    grouped = [layer for layer in model.layers if isinstance(layer, GroupedConv2D)]
    assert {layer.groups for layer in grouped} == {32}
    assert len(grouped) == 33
