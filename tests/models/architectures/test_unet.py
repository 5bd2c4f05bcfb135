from __future__ import annotations

import keras
import pytest

from h2g.models.architectures.unet import unet
from h2g.models.blocks import batch_norms
from h2g.models.registry import build_refinement_model


def small_unet(inputs: str = "both", num_classes: int = 2) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_refinement_model(
        "unet",
        input_px=16,
        num_classes=num_classes,
        options={"filters": [4, 8, 8]},
        inputs=inputs,
    )


def test_sides_divisible_by_the_poolings_are_enough() -> None:
    assert small_unet().output_shape == (None, 16, 16, 2)
    with pytest.raises(ValueError, match="18 px is not divisible by 4"):
        unet((18, 18, 3), (18, 18, 1), filters=(4, 8, 8))


def test_heatmap_has_a_channel_for_every_class_but_background() -> None:
    image, heatmap = small_unet(num_classes=4).inputs
    assert image.shape == (None, 16, 16, 3)
    assert heatmap.shape == (None, 16, 16, 3)


def test_momentum_is_the_one_asked_for() -> None:
    model = unet((16, 16, 3), (16, 16, 1), filters=(4, 8), batch_norm_momentum=0.7)
    momenta = {
        layer.momentum
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert momenta == {0.7}


@pytest.mark.parametrize(
    ("inputs", "sees_image", "sees_heatmap"),
    [("both", True, True), ("image", True, False), ("heatmap", False, True)],
)
def test_controls_take_one_input_only(inputs: str, sees_image: bool, sees_heatmap: bool) -> None:
    model = small_unet(inputs)
    names = [name for name, seen in (("image", sees_image), ("heatmap", sees_heatmap)) if seen]
    assert [tensor.name for tensor in model.inputs] == names


def test_the_image_alone_is_the_papers_unet_lr() -> None:
    model = build_refinement_model("unet", inputs="image")
    assert model.count_params() == 11_572_490
    # With the batch renormalisation of the published network, 2 C + 2 more a layer.
    renormalised = sum(2 * layer.moving_mean.shape[0] + 2 for layer in batch_norms(model))
    assert model.count_params() + renormalised == 11_581_710
