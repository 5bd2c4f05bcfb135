from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from h2g.models.architectures.dagu_net import dagu_net
from h2g.models.registry import build_refinement_model


def test_seven_outputs_and_attention_over_64_positions() -> None:
    model = dagu_net()
    assert [output.shape for output in model.outputs] == [
        (None, 1024 // 2**i, 1024 // 2**i, 2) for i in range(7)
    ]
    assert model.get_layer("position").output.shape == (None, 8, 8, 256)
    # The public training script watches the loss of conv2d_50, the last of its 51: three of them
    # are the projections.
    assert sum(type(layer) is layers.Conv2D for layer in model.layers) + 3 == 51


def test_attention_is_saved_with_the_network(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = build_refinement_model("dagu_net", input_px=32, options={"filters": [8, 8, 16]})
    rng = np.random.default_rng(0)
    inputs = [rng.random((1, *tensor.shape[1:]), np.float32) for tensor in model.inputs]
    closed = model(inputs).numpy()
    for name in ("position", "channel"):
        model.get_layer(name).gamma.assign(1.0)
    opened = model(inputs).numpy()
    assert np.abs(opened - closed).max() > 1e-6
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(again(inputs), opened)


def test_attention_stays_float32_in_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = dagu_net((32, 32, 3), (32, 32, 1), filters=(8, 8, 16))
    finally:
        keras.config.set_dtype_policy("float32")
    position = model.get_layer("position")
    assert {position.compute_dtype, position.query.compute_dtype} == {"float32"}
    assert model.get_layer("position_0_conv").compute_dtype == "float16"
