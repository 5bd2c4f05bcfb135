"""Parameters of the networks that HI-Net and BRACS are compared with, and their variants."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from h2g.models.architectures.encoder_unet import encoder_unet
from h2g.models.architectures.pspnet import GridMeans, pspnet
from h2g.models.architectures.trans_unet import trans_unet
from h2g.models.architectures.unet_2015 import unet_2015

DEPTH_4 = (32, 64, 128, 256)


def test_unets_with_an_encoder() -> None:
    """Counts of the package segmentation-models at depths 4 and 5."""
    for encoder, filters, parameters in (
        ("resnet50", DEPTH_4, 13_634_754),
        ("resnet50", (16, *DEPTH_4), 32_602_914),
        ("densenet121", DEPTH_4, 9_368_450),
        ("densenet121", (16, *DEPTH_4), 13_693_410),
    ):
        model = encoder_unet((64, 64, 3), encoder=encoder, decoder_filters=filters)
        assert model.count_params() == parameters
        assert model.output_shape == (None, 64, 64, 2)


def test_the_published_unet_and_its_variants() -> None:
    assert unet_2015((32, 32, 1)).count_params() == 31_030_658
    assert unet_2015((32, 32, 3), batch_norm=True).count_params() == 31_055_362
    assert unet_2015((32, 32, 3), separable=True).count_params() == 5_982_429
    with pytest.raises(ValueError, match="24 px is not divisible by 16"):
        unet_2015((24, 24, 3))


def test_trans_unet_has_a_position_for_each_token() -> None:
    model = trans_unet((224, 224, 3))
    assert model.count_params() == 105_278_946
    assert model.get_layer("positions").embedding.shape == (1, 196, 768)
    with pytest.raises(ValueError, match="40 px is not divisible by 16"):
        trans_unet((40, 40, 3))
    with pytest.raises(ValueError, match="filters 40 is not divisible by 32"):
        trans_unet((32, 32, 3), filters=40)


def test_pspnet_pools_features_at_stride_8() -> None:
    model = pspnet((96, 96, 3), encoder="resnet18")
    shapes = [model.get_layer(f"pool_{bins}").output.shape[1:] for bins in (1, 2, 3, 6)]
    assert shapes == [(1, 1, 512), (2, 2, 512), (3, 3, 512), (6, 6, 512)]
    assert model.get_layer("pool_concat").output.shape[1:] == (12, 12, 5 * 512)
    tile = np.random.default_rng(0).random((1, 96, 96, 3), np.float32)
    kept, auxiliary = (output.numpy() for output in model(tile))
    assert kept.shape == auxiliary.shape == (1, 96, 96, 2)


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_means_over_a_grid_are_those_of_keras(bins: int) -> None:
    maps = np.random.default_rng(0).random((2, 8, 13, 3), np.float32)
    wanted = keras.layers.AdaptiveAveragePooling2D(bins)(maps)
    np.testing.assert_allclose(GridMeans(bins)(maps), wanted, rtol=1e-5)
