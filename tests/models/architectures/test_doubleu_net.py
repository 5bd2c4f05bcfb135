from __future__ import annotations

import keras
import numpy as np

from h2g.models.architectures.doubleu_net import doubleu_net


def small_doubleu_net(num_classes: int = 3) -> keras.Model:
    keras.utils.set_random_seed(0)
    shapes = (32, 32, 3), (32, 32, num_classes - 1)
    return doubleu_net(*shapes, num_classes, filters=(8, 8, 16), aspp_filters=4)


def test_the_first_output_is_of_the_second_u_net() -> None:
    model = small_doubleu_net()
    assert model.output_names == ["output_0_segmentation", "output_1_segmentation"]
    assert [output.shape for output in model.outputs] == [(None, 32, 32, 3)] * 2
    assert model.get_layer("output_0_segmentation").input is (
        model.get_layer("second_decoder_0_se_multiply").output
    )


def test_the_first_ones_softmax_is_concatenated_to_the_input() -> None:
    assert doubleu_net().get_layer("second_input").output.shape == (None, 1024, 1024, 6)
    model = small_doubleu_net()
    whole = keras.Model(model.inputs, [model.get_layer("second_input").output, model.outputs[1]])
    rng = np.random.default_rng(0)
    image, heatmap = rng.random((1, 32, 32, 3)), rng.random((1, 32, 32, 2))
    seen, first = whole([image, heatmap])
    np.testing.assert_allclose(seen, np.concatenate([image, heatmap, first], axis=-1), rtol=1e-6)


def test_the_second_decoder_has_both_skips() -> None:
    model = small_doubleu_net()
    for depth in range(3):
        _, first, second = model.get_layer(f"second_decoder_{depth}_concat").input
        assert first is model.get_layer(f"first_encoder_{depth}_se_multiply").output
        assert second is model.get_layer(f"second_encoder_{depth}_se_multiply").output
        assert len(model.get_layer(f"first_decoder_{depth}_concat").input) == 2


def test_where_features_are_4x4_the_dilated_convolutions_act_as_1x1() -> None:
    model = small_doubleu_net()
    pyramid = keras.Model(model.inputs, model.get_layer("first_aspp_concat").output)
    rng = np.random.default_rng(0)
    inputs = [rng.random((1, *tensor.shape[1:]), np.float32) for tensor in model.inputs]
    assert pyramid.output_shape == (None, 4, 4, 20)
    before = pyramid(inputs).numpy()
    for rate in (6, 12, 18):
        convolution = model.get_layer(f"first_aspp_rate_{rate}_conv")
        assert convolution.dilation_rate == (rate, rate)
        kernel = np.full_like(convolution.kernel.numpy(), 1e6)
        kernel[1, 1] = convolution.kernel.numpy()[1, 1]
        convolution.kernel.assign(kernel)
    np.testing.assert_allclose(pyramid(inputs), before, atol=1e-6)


def test_upsampling_stays_float32_in_mixed_precision() -> None:
    # XLA, which Keras uses on a GPU, cannot compile its gradient in half precision.
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small_doubleu_net()
    finally:
        keras.config.set_dtype_policy("float32")
    kinds = {
        layer.compute_dtype
        for layer in model.layers
        if isinstance(layer, keras.layers.UpSampling2D)
    }
    assert kinds == {"float32"}
    assert model.get_layer("second_decoder_0_0_conv").compute_dtype == "float16"
