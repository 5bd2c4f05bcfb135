"""Initial weights of a network: random, from ImageNet, or from a file."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from h2g.errors import ModelError
from h2g.models.backbones import Backbone, named_layers
from h2g.models.blocks import set_batch_norm_momentum
from h2g.models.deployment import load_network

logger = logging.getLogger(__name__)

# Keras's backbones have 0.999. After a few hundred steps from random weights, the running means are
# still close to their start. The network is then accurate in training but useless in inference.
MOMENTUM_FROM_RANDOM = 0.9
# Keras's message when it cannot fetch a file.
FAILED_DOWNLOAD = re.compile(r"URL fetch failure on (\S+?):? ")


class DownloadError(ModelError):
    """ImageNet weights could not be downloaded from ``url``."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"The ImageNet weights {url} cannot be downloaded. Download the file on a machine with "
            "network access and pass its path (--set patch.weights=FILE), or train from random "
            "weights (--set patch.weights=none)."
        )
        self.url = url


def initialise(
    model: keras.Model,
    weights: str,
    *,
    backbone: Backbone | None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Gives a newly built network its initial weights.

    Args:
        weights: ``none``, ``imagenet`` or a file. ``none`` keeps the random weights and sets a
            batch-norm momentum for short training. ``imagenet`` takes the backbone's published
            weights, from Keras's cache or a download. A file is ``.h5`` or ``.weights.h5`` of the
            backbone, or a ``.keras`` model (a run's patch/model.keras). A model must have every
            layer of the backbone. Other layers, such as a head, are taken if name and shape match.
        backbone: the network's backbone.
        options: options that the model was built with.
    Raises:
        ModelError: the weights cannot be downloaded or read, or do not fit.
    """
    if weights == "none":
        set_batch_norm_momentum(model, MOMENTUM_FROM_RANDOM)
    elif weights == "imagenet":
        _load_imagenet(model, backbone, options or {})
    else:
        path = Path(weights).expanduser()
        if path.suffix == ".keras":
            _copy_layers(load_network(path), model, path, backbone)
        else:
            _load_file(model, path, backbone, options or {})


def _load_imagenet(
    model: keras.Model, backbone: Backbone | None, options: Mapping[str, Any]
) -> None:
    if backbone is None:
        raise ModelError(f"There are no ImageNet weights for '{model.name}'. Use weights: none.")
    try:
        # Keras announces its download on stdout, which is reserved for results.
        with contextlib.redirect_stdout(sys.stderr):
            source = _keras_own(model, "imagenet", backbone, options)
    except ValueError as error:
        raise ModelError(
            f"'{model.name}': {_first_line(error)}. Use weights: none, or a file."
        ) from error
    except Exception as error:  # Keras raises a bare Exception if a download fails.
        failure = FAILED_DOWNLOAD.search(str(error))
        if failure is None:
            raise
        raise DownloadError(failure[1]) from error
    _copy_backbone(source, model, backbone)


def _load_file(
    model: keras.Model, path: Path, backbone: Backbone | None, options: Mapping[str, Any]
) -> None:
    if not path.is_file():
        raise ModelError(
            f"{path}: there is no such weights file. weights is 'imagenet', 'none', or a file: "
            ".h5 or .weights.h5 of the backbone, or a .keras model."
        )
    if path.suffix != ".h5" or backbone is None:
        raise ModelError(
            f"{path}: weights of '{model.name}' are read from .keras"
            f"{' files' if backbone is None else ', .h5 and .weights.h5 files'}."
        )
    try:
        source = _keras_own(model, str(path), backbone, options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: not weights of the backbone of '{model.name}' without top "
            f"({_first_line(error)}). "
            "Check that the file is of this network and width (alpha), or download it again."
        ) from error
    _copy_backbone(source, model, backbone)


def _keras_own(
    model: keras.Model, weights: str, backbone: Backbone, options: Mapping[str, Any]
) -> keras.Model:
    """The backbone as Keras builds and names it, with the given weights."""
    # Keras warns about patch sizes that differ from the training's, and repeats errors at length.
    with warnings.catch_warnings(action="ignore"):
        return backbone.builder(
            input_shape=model.input_shape[1:],
            include_top=False,
            weights=weights,
            **{name: options[name] for name in backbone.options if name in options},
        )


def _copy_backbone(source: keras.Model, model: keras.Model, backbone: Backbone) -> None:
    source_layers = named_layers(backbone, source)
    for name in _backbone_layers(model, backbone):
        layer = model.get_layer(name)
        if layer.weights:
            layer.set_weights(source_layers[name].get_weights())


def _copy_layers(
    source: keras.Model, model: keras.Model, path: Path, backbone: Backbone | None
) -> None:
    """Copies weights by layer name.

    Only layers after the backbone may be missing or differ, or the last one without a backbone.
    """
    needed = (
        _backbone_layers(model, backbone)
        if backbone
        else {layer.name for layer in model.layers[:-1]}
    )
    source_layers = {layer.name: layer for layer in source.layers}
    random_layers = []
    for layer in model.layers:
        shapes = [tuple(weight.shape) for weight in layer.weights]
        twin = source_layers.get(layer.name)
        if twin is not None and [tuple(weight.shape) for weight in twin.weights] == shapes:
            layer.set_weights(twin.get_weights())
        elif shapes and layer.name in needed:
            raise ModelError(
                f"{path}: not a '{model.name}' with these options: layer '{layer.name}' is missing "
                "or has other shapes. Give the options (alpha, ...) that it was trained with."
            )
        elif shapes:
            random_layers.append(layer.name)
    if random_layers:
        logger.info("%s: %s start from random weights.", path.name, ", ".join(random_layers))


def _backbone_layers(model: keras.Model, backbone: Backbone) -> set[str]:
    part = keras.Model(model.inputs, model.get_layer(backbone.features).output)
    return {layer.name for layer in part.layers}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
