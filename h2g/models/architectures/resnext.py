"""ResNeXt-101 (32x4d): a ResNet whose 3x3 convolutions have 32 separate groups of channels."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

GROUPS = 32
# Filters of the 3x3 convolutions, and number of blocks, in each stage.
WIDTHS = (128, 256, 512, 1024)
BLOCKS = (3, 4, 23, 3)
EPSILON = 1.001e-5


def resnext101(
    input_shape: tuple[int, int, int] = (256, 256, 3),
    *,
    input_tensor: Any = None,
    include_top: bool = False,
    weights: str | None = None,
) -> keras.Model:
    """Feature extractor for patches; 42,266,560 parameters, 42,128,704 of them trainable.

    It takes the arguments of a builder of keras.applications. Blocks and layers are named as in
    Keras's ResNet101; ``conv5_block3_out`` is the last.

    Args:
        input_shape: (S, S, 3) with S >= 32; standardised RGB.
        input_tensor: tensor that replaces the network's input.
        weights: a file, or None for random weights.
    Returns:
        A model with the output (N, S / 32, S / 32, 2048).
    Raises:
        ValueError: ``imagenet``, which Keras lacks for this network, or a file of another network.
    Source: Xie et al. 2017, table 1, with 4 channels per group.
    """
    if include_top or weights == "imagenet":
        raise ValueError("Keras has no ImageNet weights of ResNeXt-101")
    patch = keras.Input(input_shape) if input_tensor is None else input_tensor
    x = layers.ZeroPadding2D(3, name="conv1_pad")(patch)
    x = _conv_bn(x, 64, size=7, strides=2, name="conv1")
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (width, repeats) in enumerate(zip(WIDTHS, BLOCKS, strict=True), start=2):
        for number in range(1, repeats + 1):
            x = _block(
                x,
                width,
                strides=2 if stage > 2 and number == 1 else 1,
                is_first=number == 1,
                name=f"conv{stage}_block{number}",
            )
    model = keras.Model(keras.utils.get_source_inputs(patch), x, name="resnext101")
    if weights:
        model.load_weights(weights)
    return model


@keras.saving.register_keras_serializable(package="h2g")
class GroupedConv2D(layers.Layer):
    """A convolution without bias, in which each group of channels sees only itself.

    It computes the same as ``keras.layers.Conv2D(filters, size, groups=groups)`` with the same
    kernel, (size, size, C / groups, filters), by a depthwise convolution and a sum. On a CPU, Keras
    compiles its own with XLA, which slows down training and which the ONNX converter cannot read.
    """

    def __init__(
        self,
        filters: int,
        size: int,
        *,
        groups: int,
        strides: int = 1,
        dilation: int = 1,
        padding: str = "same",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.size = size
        self.groups = groups
        self.strides = strides
        self.dilation = dilation
        self.padding = padding

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1]
        if channels is None or channels % self.groups or self.filters % self.groups:
            raise ValueError(
                f"{channels} channels and {self.filters} filters do not divide into "
                f"{self.groups} groups"
            )
        self.kernel = self.add_weight(
            shape=(self.size, self.size, channels // self.groups, self.filters), name="kernel"
        )

    def call(self, maps: Any) -> Any:
        size, groups = self.size, self.groups
        group_inputs, group_outputs = self.kernel.shape[2], self.filters // groups
        # Depthwise kernels are ordered by input channel, grouped kernels by output channel.
        kernel = ops.reshape(self.kernel, (size, size, group_inputs, groups, group_outputs))
        kernel = ops.transpose(kernel, (0, 1, 3, 2, 4))
        kernel = ops.reshape(kernel, (size, size, groups * group_inputs, group_outputs))
        x = ops.depthwise_conv(
            maps,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation,
        )
        height, width = x.shape[1:3]
        # Four axes, because some runtimes cannot sum over more.
        shape = (-1, height * width * groups, group_inputs, group_outputs)
        x = ops.sum(ops.reshape(x, shape), axis=2)
        return ops.reshape(x, (-1, height, width, self.filters))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "size": self.size,
            "groups": self.groups,
            "strides": self.strides,
            "dilation": self.dilation,
            "padding": self.padding,
        }


def _block(x: Any, width: int, *, strides: int, is_first: bool, name: str) -> Any:
    """(N, h, w, F) -> (N, h / strides, w / strides, 2 * width): 1x1, grouped 3x3, 1x1, sum."""
    shortcut = x
    if is_first:
        shortcut = _conv_bn(x, 2 * width, strides=strides, name=f"{name}_0")
    x = layers.ReLU(name=f"{name}_1_relu")(_conv_bn(x, width, name=f"{name}_1"))
    # One zero on each side, as in the authors' code. "same" would put both on one side.
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = GroupedConv2D(
        width, 3, groups=GROUPS, strides=strides, padding="valid", name=f"{name}_2_conv"
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_2_bn")(x)
    x = layers.ReLU(name=f"{name}_2_relu")(x)
    x = _conv_bn(x, 2 * width, name=f"{name}_3")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _conv_bn(x: Any, filters: int, *, size: int = 1, strides: int = 1, name: str) -> Any:
    x = layers.Conv2D(filters, size, strides=strides, use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
