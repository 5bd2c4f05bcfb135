from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from h2g.models.architectures.agu_net import agu_net


def small_agu_net() -> keras.Model:
    keras.utils.set_random_seed(0)
    return agu_net((32, 32, 3), (32, 32, 2), num_classes=3, filters=(8, 8, 16, 16))


def test_seven_outputs_one_per_decoder_level() -> None:
    model = agu_net()
    assert [output.shape for output in model.outputs] == [
        (None, 1024 // 2**i, 1024 // 2**i, 2) for i in range(7)
    ]
    assert model.output_names == [f"output_{i}_segmentation" for i in range(7)]
    # The public training script watches the loss of conv2d_63, the last of its 64.
    assert sum(type(layer) is layers.Conv2D for layer in model.layers) == 64


def test_levels_between_the_first_and_the_last_see_the_input() -> None:
    model = small_agu_net()
    named = {layer.name for layer in model.layers if "scale_conv" in layer.name}
    assert named == {"encoder_1_scale_conv", "encoder_2_scale_conv"}
    pooled = keras.Model(model.inputs, model.get_layer("encoder_2_scale_pool").output)
    rng = np.random.default_rng(0)
    image, heatmap = rng.random((1, 32, 32, 3)), rng.random((1, 32, 32, 2))
    both = np.concatenate([image, heatmap], axis=-1)
    wanted = both.reshape(1, 8, 4, 8, 4, 5).mean(axis=(2, 4))
    np.testing.assert_allclose(pooled([image, heatmap]), wanted, rtol=1e-5)


def test_every_output_is_a_softmax_and_every_weight_is_reached() -> None:
    model = small_agu_net()
    rng = np.random.default_rng(0)
    inputs = [rng.random((2, *tensor.shape[1:]), np.float32) for tensor in model.inputs]
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        loss = sum(tf.reduce_mean(tf.square(output[..., 1])) for output in outputs)
    for output in outputs:
        np.testing.assert_allclose(tf.reduce_sum(output, axis=-1), 1.0, atol=1e-5)
    variables = [variable.value for variable in model.trainable_variables]
    missing = [
        variable.name
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True)
        if gradient is None
    ]
    assert not missing


def test_every_skip_is_gated() -> None:
    model = small_agu_net()
    for depth in range(3):
        assert model.get_layer(f"decoder_{depth}_concat").input[1] is (
            model.get_layer(f"decoder_{depth}_gate_multiply").output
        )
