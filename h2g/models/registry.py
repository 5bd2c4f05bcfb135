"""The networks that a recipe can name.

A new network: one file with a builder function, and one entry here.
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
    dagu_net,
    doubleu_net,
    encoder_unet,
    otsu,
    tile_unet,
    unet,
)
from h2g.models.architectures.patch_classifier import patch_classifier
from h2g.models.backbones import BACKBONES, Backbone, find_backbone, nearest_name
from h2g.models.blocks import main_output
from h2g.models.weights import initialise

Kind = Literal["patch", "refinement"]
Answer = Literal["class", "mask"]


@dataclass(frozen=True)
class Architecture:
    """A network, how to build it, and what its paper says about it.

    Attributes:
        builder: patch: (input_shape, num_classes, **options); refinement: (image_shape,
            heatmap_shape, num_classes, batch_norm_momentum=, inputs=, **options), the output that
            is kept first, those for training alone after it.
        answer: one class of the whole input, (N, C), or a mask: one in every pixel, (N, S, S, C).
        parameters: of the network with its defaults and two classes; a test builds and counts it.
        paper_parameters: as the paper prints it, rounded to 10,000; None where it prints none.
        published_parameters: as the authors' public code counts them; None where that is the same.
        least_px: the smallest side of its input that tests may use.
        batch_renormalised: the published network has batch renormalisation, which keeps 2 C + 2
            more values in every norm of C channels than batch norm does; the paper counts them.
        backbone: name of the backbone that a patch network stands on, if it does; an option
            ``encoder`` names another one.
        inputs: what a refinement network takes when nothing else is said.
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


PATCH_MODELS: dict[str, Architecture] = {
    "mobilenet_v2": _classifier("mobilenet_v2", 2_386_686, paper_parameters=2_390_000),
    "inception_v3": _classifier("inception_v3", 22_008_286, paper_parameters=22_000_000),
    "vgg16": _classifier("vgg16", 14_766_590),
    "resnet50": _classifier("resnet50", 23_793_214),
    "resnet101": _classifier("resnet101", 42_863_678),
    "resnext101": _classifier("resnext101", 42_472_062),
    "densenet121": _classifier("densenet121", 7_140_606),
    "efficientnet_b0": _classifier("efficientnet_b0", 4_178_266),
    "efficientnetv2_b0": _classifier("efficientnetv2_b0", 6_048_014),
    "efficientnetv2_s": _classifier("efficientnetv2_s", 20_460_062),
}

TILE_MODELS: dict[str, Architecture] = {
    "tile_unet": Architecture(
        builder=tile_unet.tile_unet,
        kind="patch",
        answer="mask",
        parameters=490_130,
        source="Ronneberger et al. 2015, a quarter of the widths",
    ),
    "encoder_unet": Architecture(
        builder=encoder_unet.encoder_unet,
        kind="patch",
        answer="mask",
        parameters=8_048_322,
        source="Ronneberger et al. 2015 on a backbone (MobileNetV2: Sandler et al. 2018)",
        backbone=encoder_unet.ENCODER,
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
    """The architecture of that name.

    Raises:
        WrongUseError: there is none; the sentence lists the names.
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
        options: the builder's own arguments, e.g. ``{"alpha": 0.35}``.
    Raises:
        WrongUseError: unknown name or option, or values that the network cannot have.
        ModelError: weights that cannot be loaded.
    """
    return _build_patch_network(name, PATCH_MODELS, size_px, num_classes, weights, options)


def build_tile_model(
    name: str,
    *,
    size_px: int = 256,
    num_classes: int = 2,
    weights: str = "none",
    options: Mapping[str, Any] | None = None,
) -> keras.Model:
    """A network that segments tiles: (N, size_px, size_px, 3) float32 RGB in [0, 1]
    -> (N, size_px, size_px, num_classes).

    Args:
        weights, options: as of build_patch_model; ``imagenet`` is for the encoder.
    Raises:
        WrongUseError: unknown name or option, or values that the network cannot have.
        ModelError: weights that cannot be loaded.
    """
    return _build_patch_network(name, TILE_MODELS, size_px, num_classes, weights, options)


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
    """A refinement network: image (N, P, P, 3) in [0, 1] and heatmap (N, P, P, num_classes - 1)
    -> (N, P, P, num_classes), P = ``input_px``.

    Args:
        inputs: ``both``, or ``heatmap`` or ``image`` for the network of that one alone; None takes
            what the architecture is made for.
        all_outputs: also those that only training needs (deep supervision), after the first.
    Raises:
        WrongUseError: unknown name or option, or values that the network cannot have.
    """
    architecture = find_architecture(name, REFINEMENT_MODELS)
    shapes = (input_px, input_px, 3), (input_px, input_px, num_classes - 1)
    given = {
        "batch_norm_momentum": batch_norm_momentum,
        "inputs": inputs or architecture.inputs,
    }
    network = _build(name, architecture, (*shapes, num_classes), given, dict(options or {}))
    return network if all_outputs else main_output(network)


def build_default(name: str) -> keras.Model:
    """The network as its paper counts it: two classes, full size, all outputs, random weights."""
    if name in PATCH_MODELS:
        return build_patch_model(name)
    if name in TILE_MODELS:
        return build_tile_model(name)
    return build_refinement_model(name, all_outputs=True)


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
    given: dict[str, Any],
    options: dict[str, Any],
) -> keras.Model:
    _check_options(name, architecture, given, options)
    try:
        return architecture.builder(*arguments, **given, **options)
    except (ValueError, TypeError) as error:
        raise WrongUseError(f"Model '{name}' with options {options}: {error}.") from error


def _check_options(
    name: str, architecture: Architecture, given: dict[str, Any], options: dict[str, Any]
) -> None:
    parameters = inspect.signature(architecture.builder).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in given]
    if architecture.backbone and architecture.answer == "class":
        known += BACKBONES[architecture.backbone].options
    for option in options:
        if option not in known:
            raise WrongUseError(
                f"Model '{name}' has no option '{option}'.{nearest_name(option, known)} "
                f"Options: {', '.join(known)}."
            )
