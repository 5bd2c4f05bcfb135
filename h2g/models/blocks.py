"""Blocks of layers that several networks share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

REFINEMENT_INPUTS = ("both", "heatmap", "image")
# Momentum of batch norms if no recipe sets it.
MOMENTUM = 0.99


def classifier_head(features: Any, num_classes: int, *, dropout: float) -> Any:
    """Class probabilities from a backbone's feature map.

    Args:
        features: (N, h, w, F).
    Returns:
        (N, num_classes) float32, softmax.
    Source: Pedersen et al. 2022, section 2.4: pooling, dense 100, dropout, ReLU, batch norm, dense.
    """
    x = layers.GlobalAveragePooling2D(name="head_pool")(features)
    x = layers.Dense(100, name="head_dense")(x)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    x = layers.ReLU(name="head_relu")(x)
    x = layers.BatchNormalization(name="head_bn")(x)
    # float32 also under mixed precision, so that the loss gets no half-precision probabilities.
    return layers.Dense(
        num_classes, activation="softmax", dtype="float32", name="output_0_probabilities"
    )(x)


def refinement_inputs(
    image_shape: tuple[int, int, int], heatmap_shape: tuple[int, int, int], inputs: str = "both"
) -> tuple[Any, Any]:
    """The inputs of a refinement network, and the tensor that its first layer gets.

    Args:
        inputs: ``both`` concatenated, or ``image`` or ``heatmap`` alone.
    Returns:
        The inputs, ``image`` (P, P, 3) and ``heatmap`` (P, P, C - 1), as a list; or the single one.
        Then the tensor: (P, P, C + 2), or the single input.
    """
    if inputs not in REFINEMENT_INPUTS:
        raise ValueError(f"inputs is '{inputs}', must be one of {', '.join(REFINEMENT_INPUTS)}")
    if inputs == "image":
        image = keras.Input(image_shape, name="image")
        return image, image
    heatmap = keras.Input(heatmap_shape, name="heatmap")
    if inputs == "heatmap":
        return heatmap, heatmap
    image = keras.Input(image_shape, name="image")
    return [image, heatmap], layers.Concatenate(name="input_concat")([image, heatmap])


def check_sides(*shapes: tuple[int, int, int], poolings: int, setting: str = "input_px") -> None:
    """Raises a ValueError if a side of an input cannot be halved ``poolings`` times.

    Args:
        setting: name of the setting that gives the sides.
    """
    if poolings < 1:
        raise ValueError("filters needs at least two widths")
    factor = 2**poolings
    for side in (side for shape in shapes for side in shape[:2]):
        if side % factor:
            raise ValueError(
                f"an input side of {side} px is not divisible by {factor} = 2 ** {poolings}; "
                f"change {setting}, or give fewer filters"
            )


def conv_bn_relu(
    x: Any,
    filters: int,
    *,
    size: int = 3,
    dilation: int = 1,
    use_bias: bool = True,
    momentum: float,
    spatial_dropout: float = 0.0,
    name: str,
) -> Any:
    """Convolution (same padding), batch norm and ReLU, then spatial dropout if wanted."""
    x = layers.Conv2D(
        filters,
        size,
        padding="same",
        dilation_rate=dilation,
        use_bias=use_bias,
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    if spatial_dropout:
        x = layers.SpatialDropout2D(spatial_dropout, name=f"{name}_dropout")(x)
    return x


def conv_gn_relu(x: Any, filters: int, *, groups: int, name: str) -> Any:
    """3x3 convolution without bias (same padding), group norm and ReLU; (N, h, w, filters)."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.GroupNormalization(groups, name=f"{name}_gn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def conv_block(
    x: Any,
    filters: int,
    *,
    use_bias: bool = True,
    momentum: float,
    spatial_dropout: float = 0.0,
    name: str,
) -> Any:
    """Two conv_bn_relu with 3x3 kernels."""
    for number in range(2):
        x = conv_bn_relu(
            x,
            filters,
            use_bias=use_bias,
            momentum=momentum,
            spatial_dropout=spatial_dropout,
            name=f"{name}_{number}",
        )
    return x


def unet_encoder(x: Any, filters: Sequence[int], *, momentum: float) -> tuple[list[Any], Any]:
    """Encoder of a U-Net: conv_block at every level, and max pooling between levels.

    Args:
        x: (N, P, P, channels).
        filters: width of each level, the finest first; the last is the bottleneck.
    Returns:
        Features of each level but the last, (N, P / 2^i, P / 2^i, filters[i]), and of the last.
    """
    *levels, bottleneck = filters
    skips = []
    for depth, width in enumerate(levels):
        x = conv_block(x, width, momentum=momentum, name=f"encoder_{depth}")
        skips.append(x)
        x = layers.MaxPooling2D(name=f"encoder_{depth}_pool")(x)
    return skips, conv_block(x, bottleneck, momentum=momentum, name="bottleneck")


def unet_decoder(
    x: Any,
    skips: Sequence[Any],
    filters: Sequence[int],
    *,
    use_bias: bool = True,
    momentum: float,
    spatial_dropout: float = 0.0,
) -> Any:
    """Decoder of a U-Net. Each level has upsampling x2 (nearest), the skip connection, conv_block.

    Args:
        x: (N, h, w, F), the deepest features.
        skips: skip connection of each level, the finest first, or None for a level without one.
            The last has twice the sides of x.
        filters: width of each level, the finest first.
    Returns:
        (N, h * 2^i, w * 2^i, filters[0]) after i levels.
    """
    for depth, (skip, width) in reversed(list(enumerate(zip(skips, filters, strict=True)))):
        name = f"decoder_{depth}"
        x = layers.UpSampling2D(interpolation="nearest", name=f"{name}_up")(x)
        if skip is not None:
            x = layers.Concatenate(name=f"{name}_concat")([x, skip])
        x = conv_block(
            x,
            width,
            use_bias=use_bias,
            momentum=momentum,
            spatial_dropout=spatial_dropout,
            name=name,
        )
    return x


def multi_scale_encoder(
    x: Any, filters: Sequence[int], *, momentum: float
) -> tuple[list[Any], Any]:
    """Encoder whose inner levels also get the input, scaled to their size.

    Args:
        x: (N, P, P, channels), the network's input.
        filters: width of each level, the finest first; the last is the bottleneck.
    Returns:
        Features of each level but the last, (N, P / 2^i, P / 2^i, filters[i]), and of the last.
    Source: the encoder of AGU-Net and DAGU-Net in Pedersen et al. 2022 (H2G-Net).
    """
    *levels, bottleneck = filters
    scaled_input, skips = x, []
    for depth, width in enumerate(levels):
        name = f"encoder_{depth}"
        if depth:
            scaled_input = layers.AveragePooling2D(2, name=f"{name}_scale_pool")(scaled_input)
            projected = layers.Conv2D(
                width, 3, padding="same", activation="relu", name=f"{name}_scale_conv"
            )(scaled_input)
            x = layers.Concatenate(name=f"{name}_concat")([projected, x])
        x = conv_block(x, width, momentum=momentum, name=name)
        skips.append(x)
        x = layers.MaxPooling2D(name=f"{name}_pool")(x)
    return skips, conv_block(x, bottleneck, momentum=momentum, name="bottleneck")


def upsample_bilinear(x: Any, factor: tuple[int, int] = (2, 2), *, name: str) -> Any:
    """Bilinear upsampling, (N, h, w, F) -> (N, h * factor[0], w * factor[1], F)."""
    # float32 also under mixed precision, because XLA lacks the gradient in half precision.
    return layers.UpSampling2D(factor, interpolation="bilinear", dtype="float32", name=name)(x)


def upsample_by_octaves(x: Any, filters: int, *, doublings: int, groups: int, name: str) -> Any:
    """conv_gn_relu and bilinear upsampling x2 for each doubling; conv_gn_relu alone if none.

    Args:
        x: (N, h, w, F).
    Returns:
        (N, h * 2^doublings, w * 2^doublings, filters).
    Source: Kirillov et al. 2019 (Panoptic FPN), figure 3.
    """
    for number in range(max(1, doublings)):
        x = conv_gn_relu(x, filters, groups=groups, name=f"{name}_{number}")
        if doublings:
            x = upsample_bilinear(x, name=f"{name}_{number}_up")
    return x


def spatial_pyramid(
    x: Any, filters: int, *, momentum: float, spatial_dropout: float = 0.0, name: str
) -> Any:
    """ASPP: 3x3 convolutions of rates 6, 12 and 18, a 1x1 convolution, and the mean over the image.

    On features of 4x4, as in a network of 1024 px with eight poolings, the taps of the three rates
    see only padding except at their centre. The three then act as 1x1 convolutions.

    Args:
        x: (N, h, w, F); h and w are fixed.
    Returns:
        (N, h, w, filters).
    Source: Chen et al. 2017 (DeepLab v3) as in Pedersen et al. 2022 (H2G-Net).
    """
    cbr = partial(conv_bn_relu, momentum=momentum, spatial_dropout=spatial_dropout)
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean_pool")(x)
    mean = cbr(mean, filters, size=1, name=f"{name}_mean")
    mean = upsample_bilinear(mean, x.shape[1:3], name=f"{name}_mean_up")
    branches = [mean, cbr(x, filters, size=1, use_bias=False, name=f"{name}_1x1")]
    for rate in (6, 12, 18):
        branches.append(cbr(x, filters, dilation=rate, use_bias=False, name=f"{name}_rate_{rate}"))
    x = layers.Concatenate(name=f"{name}_concat")(branches)
    return cbr(x, filters, size=1, use_bias=False, name=f"{name}_out")


def segmentation_head(
    x: Any, num_classes: int, *, size: int = 1, number: int = 0, upsampling: int = 1
) -> Any:
    """Softmax of each pixel; output 0 is the one that is kept.

    Args:
        x: (N, h, w, F).
        size: side of the convolution's kernel.
        upsampling: factor of bilinear upsampling between convolution and softmax.
    Returns:
        (N, h * upsampling, w * upsampling, num_classes) float32.
    """
    name = f"output_{number}_segmentation"
    if upsampling == 1:
        return layers.Conv2D(
            num_classes, size, padding="same", activation="softmax", dtype="float32", name=name
        )(x)
    x = layers.Conv2D(num_classes, size, padding="same", dtype="float32", name=f"{name}_conv")(x)
    x = upsample_bilinear(x, (upsampling, upsampling), name=f"{name}_up")
    return layers.Softmax(dtype="float32", name=name)(x)


def main_output(model: keras.Model) -> keras.Model:
    """A model with only the first output of ``model``, and the same weights.

    This is the network that is kept and deployed after training on several outputs.
    """
    if len(model.outputs) == 1:
        return model
    return keras.Model(model.input, model.outputs[0], name=model.name)


def batch_norms(model: keras.Model) -> list[layers.BatchNormalization]:
    """The batch-norm layers of a model, including those of nested models."""
    norms: list[layers.BatchNormalization] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            norms += batch_norms(layer)
        elif isinstance(layer, layers.BatchNormalization):
            norms.append(layer)
    return norms


def set_batch_norm_momentum(model: keras.Model, momentum: float) -> None:
    """Sets the momentum of the running mean and variance of every batch norm."""
    for layer in batch_norms(model):
        layer.momentum = momentum
