"""Networks whose later stages keep their resolution: strides become dilations of convolutions."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

# Layers that slide a kernel, by the name of the setting that holds its size.
KERNELS = {"kernel_size": "dilation_rate", "size": "dilation"}


def dilated(network: keras.Model, output_stride: int) -> keras.Model:
    """A copy of a network with random weights, in which no layer has a larger stride.

    A later layer with a stride gets the stride 1. The kernels that follow are dilated by the
    strides that were removed, so that they see what they saw before. Poolings cannot be dilated.
    Layers keep their names and the shapes of their weights.

    Args:
        network: (N, S, S, 3) to feature maps.
        output_stride: the largest stride, a power of 2.
    Source: Chen et al. 2017 (DeepLab v3), section 3.1.
    """
    strides = _input_strides(network)

    def copy(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        stride = strides[layer.name]
        if stride >= output_stride:
            config |= _changes(config, stride // output_stride)
        return layer.__class__.from_config(config)

    def call(layer: keras.Layer, *tensors: Any, **arguments: Any) -> Any:
        # The kernels that follow pad by themselves.
        if isinstance(layer, layers.ZeroPadding2D) and strides[layer.name] >= output_stride:
            return tensors[0]
        return layer(*tensors, **arguments)

    return keras.models.clone_model(network, clone_function=copy, call_function=call)


def _input_strides(network: keras.Model) -> dict[str, int]:
    """The stride of each layer's input: the product of all strides before it."""
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for layer in network.layers:  # each after those that it takes its inputs from
        sources = [tensor._keras_history.operation.name for tensor in _tensors(layer)]
        before[layer.name] = max((after[name] for name in sources if name in after), default=1)
        own = layer.get_config().get("strides") or 1
        after[layer.name] = before[layer.name] * max(_as_tuple(own))
    return before


def _tensors(layer: keras.Layer) -> list[Any]:
    return [] if isinstance(layer, layers.InputLayer) else keras.tree.flatten(layer.input)


def _changes(config: dict[str, Any], dilation: int) -> dict[str, Any]:
    """Settings of a layer whose input has the largest stride or more."""
    changes: dict[str, Any] = {}
    if "strides" in config and config.get("padding"):
        changes = {"strides": 1, "padding": "same"}
    for size, rate in KERNELS.items():
        if size in config and rate in config and max(_as_tuple(config[size])) > 1:
            changes[rate] = dilation
    return changes


def _as_tuple(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
