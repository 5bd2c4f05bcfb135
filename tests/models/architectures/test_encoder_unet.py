from __future__ import annotations

import keras
import numpy as np

from h2g.models.architectures.encoder_unet import encoder_unet
from h2g.models.backbones import BACKBONES


def test_skips_are_the_encoders_pyramid() -> None:
    model = encoder_unet((64, 64, 3), 3, encoder="vgg16", decoder_filters=(4, 4, 8, 8, 8))
    assert model.output_shape == (None, 64, 64, 3)
    for depth, name in enumerate(BACKBONES["vgg16"].pyramid[:-1], start=1):
        _, skip = model.get_layer(f"decoder_{depth}_concat").input
        assert skip is model.get_layer(name).output
    # At stride 1 the encoder has nothing to give.
    assert not [layer for layer in model.layers if layer.name == "decoder_0_concat"]
    assert model.get_layer("decoder_0_1_conv").filters == 4


def test_softmax_of_every_pixel() -> None:
    model = encoder_unet((32, 64, 3), 3, decoder_filters=(4,) * 5)
    tiles = np.random.default_rng(0).random((1, 32, 64, 3), np.float32)
    answer = keras.ops.convert_to_numpy(model(tiles))
    assert answer.shape == (1, 32, 64, 3)
    np.testing.assert_allclose(answer.sum(axis=-1), 1.0, atol=1e-5)
