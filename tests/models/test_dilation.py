from __future__ import annotations

import numpy as np
import pytest

from h2g.models.backbones import feature_pyramid


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext101"])
@pytest.mark.parametrize("stride", [8, 16])
def test_dilated_features_hold_those_of_the_network_with_strides(name: str, stride: int) -> None:
    """Dilated kernels see only every second place, so the others are further samples."""
    shape = (96, 96, 3)
    plain, dilated = (
        feature_pyramid(name, shape),
        feature_pyramid(name, shape, output_stride=stride),
    )
    dilated.set_weights(plain.get_weights())
    tile = np.random.default_rng(0).random((1, *shape), np.float32)
    for level, (dense, sparse) in enumerate(zip(dilated(tile), plain(tile), strict=True), start=1):
        step = max(1, 2**level // stride)
        assert dense.shape[1] == 96 // min(2**level, stride)
        assert np.std(sparse) > 0
        np.testing.assert_allclose(dense[:, ::step, ::step], sparse, rtol=1e-3, atol=1e-4)
    assert [layer.name for layer in plain.layers if layer.weights] == [
        layer.name for layer in dilated.layers if layer.weights
    ]


def test_a_later_stage_keeps_the_resolution_of_inverted_residuals() -> None:
    """MobileNetV2 pads below and right, so its samples lie elsewhere."""
    pyramid = feature_pyramid("mobilenet_v2", (64, 64, 3), output_stride=8)
    assert [output.shape[1] for output in pyramid.outputs] == [32, 16, 8, 8, 8]
