"""The networks that a recipe can name.

To add a network, add a file with a builder function, and one entry here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import keras

from h2g.errors import WrongUseError
from h2g.models.architectures import (
    agu_net,
    attention_unet,
    dagu_net,
    doubleu_net,
    encoder_unet,
    fpn,
    hi_net,
    otsu,
    pspnet,
    tile_unet,
    trans_unet,
    unet,
    unet_2015,
)
from h2g.models.architectures.patch_classifier import patch_classifier
from h2g.models.backbones import BACKBONES, Backbone, find_backbone, nearest_name
from h2g.models.blocks import main_output
from h2g.models.weights import initialise

Kind = Literal["patch", "refinement"]
Answer = Literal["class", "mask"]


@dataclass(frozen=True)
class Architecture:
    """A network: its builder, and the facts of its paper.

    Attributes:
        builder: patch: (input_shape, num_classes, **options); refinement: (image_shape,
            heatmap_shape, num_classes, batch_norm_momentum=, inputs=, **options). The first output
            of a refinement network is kept; the others are for training alone.
        answer: one class for the whole input, (N, C), or a mask with one class per pixel,
            (N, S, S, C).
        parameters: number of parameters with defaults and two classes; a test builds and counts it.
        paper_parameters: number in the paper, rounded to 10,000; None if the paper has none.
        published_parameters: number in the authors' public code; None if it is the same.
        least_px: the smallest side of the input that tests may use.
        batch_renormalised: the published network has batch renormalisation. A norm of C channels
            then has 2 C + 2 more values than batch norm has, and the paper counts them.
        backbone: name of the backbone of a patch network, if it has one; an option ``encoder``
            replaces it.
        inputs: inputs of a refinement network by default.
        is_trained: off for a rule without weights.
    """

    builder: Callable[..., keras.Model]
    kind: Kind
    parameters: int
    source: str
    answer: Answer = "class"
    paper_parameters: int | None = None
    published_parameters: int | None = None
    least_px: int = 32
    batch_renormalised: bool = False
    backbone: str | None = None
    inputs: str = "both"
    is_trained: bool = True


def _classifier(
    backbone: str, parameters: int, paper_parameters: int | None = None
) -> Architecture:
    return Architecture(
        builder=partial(patch_classifier, backbone),
        kind="patch",
        parameters=parameters,
        paper_parameters=paper_parameters,
        least_px=BACKBONES[backbone].least_px,
        source=f"{BACKBONES[backbone].source}; head of Pedersen et al. 2022 (H2G-Net)",
        backbone=backbone,
    )


def _tile_network(
    builder: Callable[..., keras.Model], parameters: int, source: str, **more: Any
) -> Architecture:
    return Architecture(
        builder=builder, kind="patch", answer="mask", parameters=parameters, source=source, **more
    )


PATCH_MODELS: dict[str, Architecture] = {
    "mobilenet_v2": _classifier("mobilenet_v2", 2_386_686, paper_parameters=2_390_000),
    "inception_v3": _classifier("inception_v3", 22_008_286, paper_parameters=22_000_000),
    "vgg16": _classifier("vgg16", 14_766_590),
    "resnet18": _classifier("resnet18", 11_238_014),
    "resnet50": _classifier("resnet50", 23_793_214),
    "resnet101": _classifier("resnet101", 42_863_678),
    "resnext101": _classifier("resnext101", 42_472_062),
    "densenet121": _classifier("densenet121", 7_140_606),
    "efficientnet_b0": _classifier("efficientnet_b0", 4_178_266),
    "efficientnetv2_b0": _classifier("efficientnetv2_b0", 6_048_014),
    "efficientnetv2_s": _classifier("efficientnetv2_s", 20_460_062),
}

TILE_MODELS: dict[str, Architecture] = {
    "tile_unet": _tile_network(
        tile_unet.tile_unet, 490_130, "Ronneberger et al. 2015, a quarter of the widths"
    ),
    "encoder_unet": _tile_network(
        encoder_unet.encoder_unet,
        8_047_586,
        "Ronneberger et al. 2015 on a backbone (MobileNetV2: Sandler et al. 2018)",
        backbone=encoder_unet.ENCODER,
    ),
    "unet_2015": _tile_network(unet_2015.unet_2015, 31_031_810, "Ronneberger et al. 2015"),
    "attention_unet": _tile_network(
        attention_unet.attention_unet,
        34_894_262,
        "Oktay et al. 2018, in two dimensions",
    ),
    "trans_unet": _tile_network(
        trans_unet.trans_unet, 105_914_850, "Chen et al. 2021 (TransUNet), at 512 px"
    ),
    "fpn": _tile_network(
        fpn.fpn, 47_626_626, "Kirillov et al. 2019 on ResNet-101", backbone=fpn.ENCODER
    ),
    "pspnet": _tile_network(
        pspnet.pspnet,
        68_098_948,
        "Zhao et al. 2017 on ResNet-101",
        backbone=pspnet.ENCODER,
        least_px=64,
    ),
    "hi_net": _tile_network(
        hi_net.hi_net, 46_198_531, "HI-Net (2023) on ResNet-101", backbone=hi_net.ENCODER
    ),
}

REFINEMENT_MODELS: dict[str, Architecture] = {
    "unet": Architecture(
        builder=unet.unet,
        kind="refinement",
        answer="mask",
        parameters=11_572_562,
        paper_parameters=11_580_000,
        published_parameters=11_581_782,
        source="Ronneberger et al. 2015; as in Pedersen et al. 2022 (H2G-Net)",
        batch_renormalised=True,
    ),
    "agu_net": Architecture(
        builder=agu_net.agu_net,
        kind="refinement",
        answer="mask",
        parameters=7_668_537,
        paper_parameters=7_680_000,
        published_parameters=7_677_275,
        source="Bouget et al. 2021; as in Pedersen et al. 2022 (H2G-Net)",
        batch_renormalised=True,
    ),
    "dagu_net": Architecture(
        builder=dagu_net.dagu_net,
        kind="refinement",
        answer="mask",
        parameters=10_074_600,
        paper_parameters=9_990_000,
        published_parameters=9_992_680,
        source="Bouget et al. 2021; as in Pedersen et al. 2022 (H2G-Net)",
    ),
    "doubleu_net": Architecture(
        builder=doubleu_net.doubleu_net,
        kind="refinement",
        answer="mask",
        parameters=16_025_076,
        paper_parameters=16_040_000,
        published_parameters=16_040_204,
        source="Jha et al. 2020; as in Pedersen et al. 2022 (H2G-Net)",
        batch_renormalised=True,
    ),
    "otsu": Architecture(
        builder=otsu.otsu,
        kind="refinement",
        answer="mask",
        parameters=0,
        paper_parameters=0,
        source="Otsu 1979; as in Pedersen et al. 2022 (H2G-Net)",
        inputs="image",
        is_trained=False,
    ),
}

MODELS: dict[str, Architecture] = {**PATCH_MODELS, **TILE_MODELS, **REFINEMENT_MODELS}


def find_architecture(name: str, models: Mapping[str, Architecture] = MODELS) -> Architecture:
    """The architecture with a name.

    Raises:
        WrongUseError: the name is unknown; the message lists the names.
    """
    if name in models:
        return models[name]
    raise WrongUseError(
        f"No model '{name}'.{nearest_name(name, models)} Models: {', '.join(models)}."
    )


def build_patch_model(
    name: str,
    *,
    size_px: int = 256,
    num_classes: int = 2,
    weights: str = "none",
    options: Mapping[str, Any] | None = None,
) -> keras.Model:
    """A patch classifier: (N, size_px, size_px, 3) float32 RGB in [0, 1] -> (N, num_classes).

    Args:
        weights: ``imagenet``, ``none``, or a file (h2g.models.weights.initialise).
        options: arguments of the builder, e.g. ``{"alpha": 0.35}``.
    Raises:
        WrongUseError: an unknown name or option, or an invalid value.
        ModelError: the weights cannot be loaded.
    """
    return _build_patch_network(name, PATCH_MODELS, size_px, num_classes, weights, options)


def build_tile_model(
    name: str,
    *,
    size_px: int = 256,
    num_classes: int = 2,
    weights: str = "none",
    options: Mapping[str, Any] | None = None,
    all_outputs: bool = False,
) -> keras.Model:
    """A network that segments tiles.

    It maps (N, size_px, size_px, 3) float32 RGB in [0, 1] to (N, size_px, size_px, num_classes).

    Args:
        weights, options: see build_patch_model; ``imagenet`` is for the encoder.
        all_outputs: adds the outputs that only training needs, after the first.
    Raises:
        WrongUseError: an unknown name or option, or an invalid value.
        ModelError: the weights cannot be loaded.
    """
    network = _build_patch_network(name, TILE_MODELS, size_px, num_classes, weights, options)
    return network if all_outputs else main_output(network)


def build_refinement_model(
    name: str,
    *,
    input_px: int = 1024,
    num_classes: int = 2,
    options: Mapping[str, Any] | None = None,
    batch_norm_momentum: float = 0.99,
    inputs: str | None = None,
    all_outputs: bool = False,
) -> keras.Model:
    """A refinement network.

    It maps an image (N, P, P, 3) in [0, 1] and a heatmap (N, P, P, num_classes - 1) to
    (N, P, P, num_classes), where P is ``input_px``.

    Args:
        inputs: ``both``, or ``heatmap`` or ``image`` for a network with that input alone; None
            takes the architecture's default.
        all_outputs: adds the outputs that only training needs (deep supervision), after the first.
    Raises:
        WrongUseError: an unknown name or option, or an invalid value.
    """
    architecture = find_architecture(name, REFINEMENT_MODELS)
    shapes = (input_px, input_px, 3), (input_px, input_px, num_classes - 1)
    fixed = {
        "batch_norm_momentum": batch_norm_momentum,
        "inputs": inputs or architecture.inputs,
    }
    network = _build(name, architecture, (*shapes, num_classes), fixed, dict(options or {}))
    return network if all_outputs else main_output(network)


def build_default(name: str) -> keras.Model:
    """The untrained network as its paper counts it: two classes, full size, all outputs."""
    return find_architecture(name).builder()


def _build_patch_network(
    name: str,
    models: Mapping[str, Architecture],
    size_px: int,
    num_classes: int,
    weights: str,
    options: Mapping[str, Any] | None,
) -> keras.Model:
    architecture = find_architecture(name, models)
    options = dict(options or {})
    model = _build(name, architecture, ((size_px, size_px, 3), num_classes), {}, options)
    initialise(model, weights, backbone=_backbone(architecture, options), options=options)
    return model


def _backbone(architecture: Architecture, options: Mapping[str, Any]) -> Backbone | None:
    name = options.get("encoder", architecture.backbone)
    return None if name is None else find_backbone(name)


def _build(
    name: str,
    architecture: Architecture,
    arguments: tuple[Any, ...],
    fixed: dict[str, Any],
    options: dict[str, Any],
) -> keras.Model:
    _check_options(name, architecture, fixed, options)
    try:
        return architecture.builder(*arguments, **fixed, **options)
    except (ValueError, TypeError) as error:
        raise WrongUseError(f"Model '{name}' with options {options}: {error}.") from error


def _check_options(
    name: str, architecture: Architecture, fixed: dict[str, Any], options: dict[str, Any]
) -> None:
    parameters = inspect.signature(architecture.builder).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in fixed]
    if architecture.backbone and architecture.answer == "class":
        known += BACKBONES[architecture.backbone].options
    for option in options:
        if option not in known:
            raise WrongUseError(
                f"Model '{name}' has no option '{option}'.{nearest_name(option, known)} "
                f"Options: {', '.join(known)}."
            )
