"""InceptionV3 patch classifier."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import keras

from h2g.models.blocks import classifier_head

# The last layer of the backbone; what comes after it is the head.
FEATURES = "mixed10"
# Layers that Keras's code gives no name: it numbers them over all models of the process.
UNNAMED = re.compile(
    r"(conv2d|batch_normalization|activation|concatenate|(?:average|max)_pooling2d)(_\d+)?"
)


def inception_v3(
    input_shape: tuple[int, int, int] = (256, 256, 3),
    num_classes: int = 2,
    *,
    dropout: float = 0.5,
) -> keras.Model:
    """Class probabilities of patches; 22,008,286 parameters with two classes.

    Args:
        input_shape: (S, S, 3) with S >= 75; the model takes (N, S, S, 3) float32, RGB in [0, 1].
        dropout: rate in the head.
    Returns:
        A model with the output ``output_0_probabilities``, (N, num_classes) float32 softmax.
    Source: Szegedy et al. 2016 with the head of Pedersen et al. 2022 (H2G-Net), section 2.4.
    """
    patch = keras.Input(input_shape, name="patch")
    # The ImageNet weights were trained on [-1, 1].
    scaled = keras.layers.Rescaling(2.0, offset=-1.0, name="to_minus_one_one")(patch)
    backbone = keras.applications.InceptionV3(
        input_shape=input_shape, input_tensor=scaled, include_top=False, weights=None
    )
    backbone = keras.models.clone_model(backbone, clone_function=_with_own_numbers())
    probabilities = classifier_head(backbone.output, num_classes, dropout=dropout)
    return keras.Model(backbone.inputs[0], probabilities, name="inception_v3")


def imagenet_file(size_px: int, options: Mapping[str, Any]) -> str:
    """Name of the official weights file without top; there is one, for patches of any size."""
    return "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"


def _with_own_numbers() -> Callable[[keras.Layer], keras.Layer]:
    """Copies a layer, numbering those without a name from 0 in the order they come."""
    counts: Counter[str] = Counter()

    def copy(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if unnamed := UNNAMED.fullmatch(layer.name):
            kind = unnamed[1]
            config["name"] = f"{kind}_{counts[kind]}"
            counts[kind] += 1
        return layer.__class__.from_config(config)

    return copy
