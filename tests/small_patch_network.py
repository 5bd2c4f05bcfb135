"""A patch network that trains and converts quickly: TensorFlow traces a fifth of MobileNetV2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

MODEL = "resnet18"
OPTIONS: dict[str, Any] = {"filters": 8, "blocks": [1, 1, 1, 1]}


def small_patch_network(*, size_px: int, num_classes: int = 2) -> keras.Model:
    """It has random weights, and 64 features for the clusters."""
    from h2g.models.registry import build_patch_model

    return build_patch_model(MODEL, size_px=size_px, num_classes=num_classes, options=OPTIONS)
