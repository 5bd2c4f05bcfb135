"""What a network's weights start from: random, ImageNet, or a file."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from h2g.errors import ModelError
from h2g.models.blocks import set_batch_norm_momentum
from h2g.models.deployment import load_network

logger = logging.getLogger(__name__)

# Keras's backbones come with 0.999: after a few hundred steps from random weights the running
# means are still those of the start, and the network is perfect in training and blind in use.
MOMENTUM_FROM_RANDOM = 0.9


@dataclass(frozen=True)
class Pretrained:
    """Published ImageNet weights of a backbone.

    Attributes:
        features: name of the backbone's last layer.
        folder_url: where the files are.
        file_name: (size_px, options) -> name of the file without top; ValueError says that there
            is none for these options.
    """

    features: str
    folder_url: str
    file_name: Callable[[int, Mapping[str, Any]], str]


def initialise(
    model: keras.Model,
    weights: str,
    *,
    pretrained: Pretrained | None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Gives a freshly built patch classifier its first weights.

    Args:
        weights: ``none``: random, with a batch-norm momentum for short training. ``imagenet``:
            published weights of the backbone, from Keras's cache or the network. Else a file:
            ``.h5`` or ``.weights.h5`` of the backbone, or a ``.keras`` model (a run's
            patch/model.keras), whose head is taken too when it has as many classes.
        options: what the model was built with.
    Raises:
        ModelError: weights that cannot be had, read, or do not fit.
    """
    if weights == "none":
        set_batch_norm_momentum(model, MOMENTUM_FROM_RANDOM)
    elif weights == "imagenet":
        _load_backbone(model, _imagenet_file(model, pretrained, options or {}), pretrained)
    else:
        path = Path(weights).expanduser()
        if path.suffix == ".keras":
            _copy_layers(load_network(path), model, path, pretrained)
        else:
            _load_backbone(model, path, pretrained)


def _imagenet_file(
    model: keras.Model, pretrained: Pretrained | None, options: Mapping[str, Any]
) -> Path:
    if pretrained is None:
        raise ModelError(f"There are no ImageNet weights for '{model.name}'. Use weights: none.")
    try:
        name = pretrained.file_name(model.input_shape[1], options)
    except ValueError as error:
        raise ModelError(f"'{model.name}': {error}. Use weights: none, or a file.") from error
    url = pretrained.folder_url + name
    try:
        # Keras announces its download on stdout, which is for results.
        with contextlib.redirect_stdout(sys.stderr):
            return Path(keras.utils.get_file(name, origin=url, cache_subdir="models"))
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise ModelError(
            f"The ImageNet weights {url} cannot be downloaded. Download that file where there is "
            "a network and give its path as weights (--set patch.weights=FILE), or train from "
            "random weights (--set patch.weights=none)."
        ) from error


def _load_backbone(model: keras.Model, path: Path, pretrained: Pretrained | None) -> None:
    if not path.is_file():
        raise ModelError(
            f"{path}: there is no such weights file. weights is 'imagenet', 'none', or a file: "
            ".h5 or .weights.h5 of the backbone, or a .keras model."
        )
    if path.suffix != ".h5" or pretrained is None:
        raise ModelError(
            f"{path}: weights of '{model.name}' are read from .keras"
            f"{' files' if pretrained is None else ', .h5 and .weights.h5 files'}."
        )
    backbone = keras.Model(model.inputs, model.get_layer(pretrained.features).output)
    try:
        # Keras warns at length about what the error below says.
        with warnings.catch_warnings(action="ignore"):
            backbone.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"{path}: not weights of the backbone of '{model.name}' without top ({reason}). "
            "Check that it is of this network and width (alpha), or download it again."
        ) from error


def _copy_layers(
    source: keras.Model, model: keras.Model, path: Path, pretrained: Pretrained | None
) -> None:
    """Copies weights layer by layer, by name; only the head may be missing or differ."""
    head = _layers_after(model, pretrained.features) if pretrained else {model.layers[-1].name}
    given = {layer.name: layer for layer in source.layers}
    fresh = []
    for layer in model.layers:
        shapes = [tuple(weight.shape) for weight in layer.weights]
        twin = given.get(layer.name)
        if twin is not None and [tuple(weight.shape) for weight in twin.weights] == shapes:
            layer.set_weights(twin.get_weights())
        elif layer.name in head:
            fresh.append(layer.name)
        elif shapes:
            raise ModelError(
                f"{path}: not a '{model.name}' of these options: layer '{layer.name}' is missing "
                "or has other shapes. Give the options (alpha, ...) that it was trained with."
            )
    if fresh:
        logger.info("%s: %s start from random weights.", path.name, ", ".join(fresh))


def _layers_after(model: keras.Model, name: str) -> set[str]:
    names = [layer.name for layer in model.layers]
    return set(names[names.index(name) + 1 :])
