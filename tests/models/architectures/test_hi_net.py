from __future__ import annotations

import numpy as np
import pytest

from h2g.models.architectures.hi_net import hi_net

SHAPE = (64, 64, 3)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"encoder": "resnet50"}, 27_128_067),
        ({"encoder": "resnext101"}, 45_806_915),
        ({"attention": False}, 44_619_220),
        ({"shortcut": False}, 46_588_051),
        ({"attention": False, "shortcut": False}, 45_008_740),
    ],
)
def test_parameters_of_the_ablations(options: dict, parameters: int) -> None:
    assert hi_net(SHAPE, **options).count_params() == parameters


def test_a_class_for_each_pixel_and_each_cell_of_32_pixels() -> None:
    model = hi_net(SHAPE, 3, encoder="resnet18")
    tiles = np.random.default_rng(0).random((1, *SHAPE), np.float32)
    pixels, cells = (output.numpy() for output in model(tiles))
    assert pixels.shape == (1, 64, 64, 3)
    assert cells.shape == (1, 2, 2, 3)
    np.testing.assert_allclose(pixels.sum(axis=-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(cells.sum(axis=-1), 1.0, atol=1e-5)


def test_each_level_has_its_attention_and_its_way_to_stride_4() -> None:
    model = hi_net(SHAPE, encoder="resnet18", dropout=0.5)
    names = {layer.name for layer in model.layers}
    assert {f"p{level}_attention_pixels" for level in (2, 3, 4)} <= names
    assert "p5_attention_pixels" not in names
    factors = {level: model.get_layer(f"p{level}_out_up").size for level in (3, 4, 5)}
    assert factors == {3: (2, 2), 4: (4, 4), 5: (8, 8)}
    assert model.get_layer("dropout").rate == 0.5
    stepwise = hi_net(SHAPE, encoder="resnet18", shortcut=False)
    steps = [
        layer.name
        for layer in stepwise.layers
        if layer.name.startswith("p5_out") and layer.name.endswith("_conv")
    ]
    assert steps == ["p5_out_0_conv", "p5_out_1_conv", "p5_out_2_conv"]
