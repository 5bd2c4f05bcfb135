from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from h2g.models.architectures.resnet18 import resnet18


def test_parameters_are_those_of_the_published_network() -> None:
    model = resnet18((32, 32, 3))
    # The published 11,689,512 are with 1,000 classes: 512 x 1000 + 1000.
    trainable = sum(int(ops.size(weight)) for weight in model.trainable_weights)
    assert trainable + 513_000 == 11_689_512
    assert model.output_shape == (None, 1, 1, 512)


def test_34_layers() -> None:
    model = resnet18((32, 32, 3), blocks=(3, 4, 6, 3))
    # The published 21,797,672 are with 1,000 classes.
    trainable = sum(int(ops.size(weight)) for weight in model.trainable_weights)
    assert trainable + 513_000 == 21_797_672


def test_narrow_and_shallow() -> None:
    model = resnet18((64, 64, 3), filters=4, blocks=(1, 1, 1, 1))
    assert model.output_shape == (None, 2, 2, 32)
    patch = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    features = model(patch).numpy()
    assert features.min() >= 0
    assert features.std() > 0


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="Keras has no ImageNet weights of ResNet-18"):
        resnet18(weights="imagenet")
    with pytest.raises(ValueError, match=r"blocks: give four numbers from 1, not \[2, 2\]"):
        resnet18(blocks=(2, 2))
