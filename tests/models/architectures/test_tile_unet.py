from __future__ import annotations

import keras
import numpy as np
import pytest

from h2g.models.architectures.tile_unet import tile_unet
from h2g.models.registry import build_tile_model


def test_every_pixel_has_its_classes_and_filters_set_the_depth() -> None:
    model = tile_unet((48, 64, 3), 4, filters=(4, 8))
    assert model.output_shape == (None, 48, 64, 4)
    assert model.get_layer("bottleneck_1_conv").output.shape[1:] == (24, 32, 8)
    with pytest.raises(ValueError, match="at least two widths"):
        tile_unet((32, 32, 3), filters=(4,))


def test_it_learns_bright_pixels() -> None:
    keras.utils.set_random_seed(0)
    model = build_tile_model("tile_unet", size_px=16, options={"filters": [4, 8]})
    model.compile(keras.optimizers.Adam(3e-2), "categorical_crossentropy", jit_compile=False)
    tiles = np.random.default_rng(0).random((8, 16, 16, 3), np.float32)
    masks = np.eye(2, dtype=np.float32)[(tiles.mean(axis=-1) > 0.5).astype(int)]
    first, *_, last = (float(model.train_on_batch(tiles, masks)) for _ in range(30))
    assert last < first / 2
    found = model(tiles, training=False).numpy().argmax(axis=-1)
    assert (found == masks.argmax(axis=-1)).mean() > 0.8
