"""Backbones of the networks, in one table over ``keras.applications``.

To add a backbone, add one row to BACKBONES.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from h2g.errors import WrongUseError
from h2g.models.architectures.resnet18 import resnet18
from h2g.models.architectures.resnext import resnext101
from h2g.models.dilation import dilated

Shape = tuple[int, int, int]

# Layers without a name in Keras's code. Keras numbers them over all models of the process.
UNNAMED = re.compile(
    r"(conv2d|batch_normalization|activation|concatenate|(?:average|max)_pooling2d|zero_padding2d"
    r"|rescaling|normalization)(_\d+)?"
)
LARGEST_STRIDE = 32


@keras.saving.register_keras_serializable(package="h2g")
class ReverseChannels(layers.Layer):
    """Reverses the order of channels, from RGB to BGR."""

    def call(self, image: Any) -> Any:
        return keras.ops.take(image, [2, 1, 0], axis=-1)


@dataclass(frozen=True)
class Scaling:
    """The scaling that ImageNet weights were trained with: scale * RGB in [0, 1] + offset.

    Attributes:
        name: name of the layer.
        scale, offset: one number, or one each for red, green and blue.
        is_bgr: whether channels are in the order blue, green, red.
    """

    name: str
    scale: float | tuple[float, float, float]
    offset: float | tuple[float, float, float]
    is_bgr: bool = False

    def __call__(self, patch: Any) -> Any:
        """Scales (N, h, w, 3) RGB in [0, 1]; (N, h, w, 3)."""
        x = layers.Rescaling(self.scale, offset=self.offset, name=self.name)(patch)
        return ReverseChannels(name="bgr")(x) if self.is_bgr else x


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, from RGB in [0, 1] to feature maps.

    Attributes:
        builder: a function of keras.applications, or one with the same arguments.
        scaling: the first layer, which replaces Keras's preprocessing.
        pyramid: names of the last layers at strides 2, 4, 8, 16 and 32.
        parameters: number of parameters without a classifier; a test builds and counts it.
        least_px: the smallest side of its input.
        options: arguments of the builder that recipes may set.
        is_copied: Keras leaves layers unnamed, so h2g copies the network and names them.
        drops: layers of Keras's own scaling, which the copy omits.
        loses_borders: some convolutions have no padding. A pyramid adds it.
    """

    builder: Callable[..., keras.Model]
    scaling: Scaling
    pyramid: tuple[str, str, str, str, str]
    parameters: int
    source: str
    least_px: int = 32
    options: tuple[str, ...] = ()
    is_copied: bool = False
    drops: tuple[str, ...] = ()
    loses_borders: bool = False

    @property
    def features(self) -> str:
        """Name of the last layer; the layers after it are a head."""
        return self.pyramid[-1]


# Mean and standard deviation of red, green and blue over ImageNet.
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MINUS_ONE_TO_ONE = Scaling("to_minus_one_one", 2.0, -1.0)
CENTRED_BGR = Scaling("centred", 255.0, (-123.68, -116.779, -103.939), is_bgr=True)
STANDARDISED = Scaling(
    "standardised",
    scale=(1 / SPREAD[0], 1 / SPREAD[1], 1 / SPREAD[2]),
    offset=(-MEAN[0] / SPREAD[0], -MEAN[1] / SPREAD[1], -MEAN[2] / SPREAD[2]),
)
# EfficientNetV2-S divides 0..255 by 128. One number per channel, because tf2onnx fails on a scalar.
TO_ALMOST_ONE = Scaling("to_almost_one", (255 / 128,) * 3, (-1.0,) * 3)


def _efficientnet_v2(builder: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    def build(**arguments: Any) -> keras.Model:
        return builder(include_preprocessing=False, **arguments)

    return build


def _resnet_pyramid(blocks_at_stride_16: int) -> tuple[str, str, str, str, str]:
    return (
        "conv1_relu",
        "conv2_block3_out",
        "conv3_block4_out",
        f"conv4_block{blocks_at_stride_16}_out",
        "conv5_block3_out",
    )


BACKBONES: dict[str, Backbone] = {
    "mobilenet_v2": Backbone(
        builder=keras.applications.MobileNetV2,
        scaling=MINUS_ONE_TO_ONE,
        pyramid=(
            "block_1_expand_relu",
            "block_3_expand_relu",
            "block_6_expand_relu",
            "block_13_expand_relu",
            "out_relu",
        ),
        parameters=2_257_984,
        source="Sandler et al. 2018",
        options=("alpha",),
    ),
    "inception_v3": Backbone(
        builder=keras.applications.InceptionV3,
        scaling=MINUS_ONE_TO_ONE,
        pyramid=("activation_2", "activation_4", "mixed2", "mixed7", "mixed10"),
        parameters=21_802_784,
        source="Szegedy et al. 2016",
        least_px=75,
        is_copied=True,
        loses_borders=True,
    ),
    "vgg16": Backbone(
        builder=keras.applications.VGG16,
        scaling=CENTRED_BGR,
        pyramid=("block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"),
        parameters=14_714_688,
        source="Simonyan and Zisserman 2015",
    ),
    "resnet18": Backbone(
        builder=resnet18,
        scaling=STANDARDISED,
        pyramid=("conv1_relu", "conv2_out", "conv3_out", "conv4_out", "conv5_out"),
        parameters=11_186_112,
        source="He et al. 2016",
        options=("filters", "blocks"),
    ),
    "resnet50": Backbone(
        builder=keras.applications.ResNet50,
        scaling=CENTRED_BGR,
        pyramid=_resnet_pyramid(6),
        parameters=23_587_712,
        source="He et al. 2016",
    ),
    "resnet101": Backbone(
        builder=keras.applications.ResNet101,
        scaling=CENTRED_BGR,
        pyramid=_resnet_pyramid(23),
        parameters=42_658_176,
        source="He et al. 2016",
    ),
    "resnext101": Backbone(
        builder=resnext101,
        scaling=STANDARDISED,
        pyramid=_resnet_pyramid(23),
        parameters=42_266_560,
        source="Xie et al. 2017",
    ),
    "densenet121": Backbone(
        builder=keras.applications.DenseNet121,
        scaling=STANDARDISED,
        pyramid=("conv1_relu", "pool2_relu", "pool3_relu", "pool4_relu", "relu"),
        parameters=7_037_504,
        source="Huang et al. 2017",
        is_copied=True,
    ),
    "efficientnet_b0": Backbone(
        builder=keras.applications.EfficientNetB0,
        scaling=STANDARDISED,
        pyramid=(
            "block2a_expand_activation",
            "block3a_expand_activation",
            "block4a_expand_activation",
            "block6a_expand_activation",
            "top_activation",
        ),
        parameters=4_049_564,
        source="Tan and Le 2019",
        is_copied=True,
        drops=("rescaling_0", "normalization_0"),
    ),
    "efficientnetv2_b0": Backbone(
        builder=_efficientnet_v2(keras.applications.EfficientNetV2B0),
        scaling=STANDARDISED,
        pyramid=(
            "block1a_project_activation",
            "block2b_add",
            "block4a_expand_activation",
            "block6a_expand_activation",
            "top_activation",
        ),
        parameters=5_919_312,
        source="Tan and Le 2021",
    ),
    "efficientnetv2_s": Backbone(
        builder=_efficientnet_v2(keras.applications.EfficientNetV2S),
        scaling=TO_ALMOST_ONE,
        pyramid=(
            "block1b_add",
            "block2d_add",
            "block4a_expand_activation",
            "block6a_expand_activation",
            "top_activation",
        ),
        parameters=20_331_360,
        source="Tan and Le 2021",
    ),
}


def find_backbone(name: str) -> Backbone:
    """The backbone with a name.

    Raises:
        WrongUseError: the name is unknown; the message lists the names.
    """
    if name not in BACKBONES:
        raise WrongUseError(
            f"No backbone '{name}'.{nearest_name(name, BACKBONES)} "
            f"Backbones: {', '.join(BACKBONES)}."
        )
    return BACKBONES[name]


def build_backbone(name: str, input_shape: Shape = (256, 256, 3), **options: Any) -> keras.Model:
    """A backbone with random weights.

    Args:
        input_shape: (S, S, 3).
        options: options of the backbone, such as ``alpha`` of mobilenet_v2.
    Returns:
        A model from (N, S, S, 3) float32, RGB in [0, 1], to (N, s, s, F); s is about S / 32.
    Raises:
        WrongUseError: the name is unknown.
        ValueError: the side is below the backbone's minimum, or an option is invalid.
    """
    return _build(name, input_shape, options, padded=False)


def feature_pyramid(
    name: str, input_shape: Shape = (256, 256, 3), *, output_stride: int = LARGEST_STRIDE
) -> keras.Model:
    """A backbone with an output at each of the strides 2, 4, 8, 16 and 32.

    Output i has sides of exactly S / 2 ** (i + 1), or S / ``output_stride`` if that is more. For
    InceptionV3 the network differs from that of build_backbone, although its layers and weights are
    the same. Its unpadded convolutions and poolings are padded with zeros, so its features differ
    near the borders.

    Args:
        input_shape: (S, S, 3), S a multiple of 32.
        output_stride: the largest stride; a smaller one than 32 dilates later convolutions
            (h2g.models.dilation).
    Returns:
        A model from (N, S, S, 3) float32, RGB in [0, 1], to five maps, the finest first.
    Raises:
        WrongUseError: the name is unknown.
        ValueError: the side is not a multiple of 32, or is below the backbone's minimum.
    """
    backbone = find_backbone(name)
    for side in input_shape[:2]:
        if side % LARGEST_STRIDE:
            raise ValueError(f"a side of {side} px is not divisible by {LARGEST_STRIDE}")
    whole = _build(name, input_shape, {}, padded=backbone.loses_borders)
    if output_stride < LARGEST_STRIDE:
        whole = dilated(whole, output_stride)
    levels = [whole.get_layer(layer).output for layer in backbone.pyramid]
    return keras.Model(whole.input, levels, name=f"{name}_pyramid")


def named_layers(backbone: Backbone, network: keras.Model) -> dict[str, keras.Layer]:
    """Layers of Keras's network, by their names in h2g's network."""
    if not backbone.is_copied:
        return {layer.name: layer for layer in network.layers}
    new_name, named = _layer_names(), {}

    def note(layer: keras.Layer) -> keras.Layer:
        named[new_name(layer)] = layer
        return layer

    # The names depend on the order in which Keras visits the layers.
    keras.models.clone_model(network, clone_function=note)
    return named


def nearest_name(name: str, names: Collection[str]) -> str:
    """' Did you mean ...?', or an empty string if no name is similar."""
    matches = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean '{matches[0]}'?" if matches else ""


def _build(name: str, input_shape: Shape, options: dict[str, Any], *, padded: bool) -> keras.Model:
    backbone = find_backbone(name)
    patch = keras.Input(input_shape, name="patch")
    network = backbone.builder(
        input_shape=input_shape,
        input_tensor=backbone.scaling(patch),
        include_top=False,
        weights=None,
        **options,
    )
    network = keras.Model(patch, network.output, name=name)
    if backbone.is_copied:
        network = _copy(network, without=backbone.drops, padded=padded)
    return network


def _copy(network: keras.Model, *, without: tuple[str, ...], padded: bool) -> keras.Model:
    """Copies a network with new weights and h2g's layer names."""
    new_name = _layer_names()

    def copy(layer: keras.Layer) -> keras.Layer:
        config = {**layer.get_config(), "name": new_name(layer)}
        if padded and "padding" in config:
            config["padding"] = "same"
        return layer.__class__.from_config(config)

    def call(layer: keras.Layer, *tensors: Any, **arguments: Any) -> Any:
        return tensors[0] if layer.name in without else layer(*tensors, **arguments)

    return keras.models.clone_model(network, clone_function=copy, call_function=call)


def _layer_names() -> Callable[[keras.Layer], str]:
    """A function that names layers, and counts the ones without a name from 0 in this network."""
    counts: Counter[str] = Counter()

    def name(layer: keras.Layer) -> str:
        unnamed = UNNAMED.fullmatch(layer.name)
        if unnamed is None:
            return layer.name
        kind = unnamed[1]
        counts[kind] += 1
        return f"{kind}_{counts[kind] - 1}"

    return name
