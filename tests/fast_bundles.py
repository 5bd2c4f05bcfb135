"""Bundles for FAST whose networks have random weights, and yet outputs that vary."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
from fast_versions import FastFiles

from h2g import __version__
from h2g.exporters.fast_limits import PROFILE_OF
from h2g.exporters.source import ExportSource
from h2g.exporters.to_fast import write_fast
from h2g.fast_versions import FastName
from h2g.files import file_sha256
from h2g.folders.bundle import Bundle, Card, Export, NetworkCard, write_card
from h2g.models.cells import with_cells
from h2g.models.deployment import deployed
from h2g.models.registry import build_refinement_model, build_tile_model
from h2g.prediction.model_files import ModelFiles, NetworkFile
from h2g.recipes.preprocessing import PROFILES, Preprocessing
from h2g.recipes.refinement import RefinementInputs

PATCH_PX, MPP, FIELD_PX = 64, 2.0, 128


def preprocessing(
    version: FastName = "4.9", *, mpp: float = MPP, size_px: int = PATCH_PX, margin_px: int = 0
) -> Preprocessing:
    fast = PROFILES[PROFILE_OF[version]]
    changes = {"mpp": mpp, "size_px": size_px, "margin_px": margin_px}
    patch = fast.patch.model_copy(update=changes)
    return fast.model_copy(update={"patch": patch})


def write_bundle(folder: Path, **drawn: Any) -> Bundle:
    """Random networks in FAST's format only; ``drawn`` as :func:`write_source` takes it."""
    source = write_source(folder / "keras", **drawn)
    path = folder / "bundle"
    networks = write_fast(source, path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    export = Export(
        format="fast",
        precision="float32",
        h2g_version=__version__,
        networks={stage: str(file.relative_to(path)) for stage, file in networks.items()},
        files={str(file.relative_to(path)): file_sha256(file) for file in files},
    )
    card = source.card.model_copy(update={"exports": (export,)})
    write_card(path, card)
    return Bundle(path, card)


def write_source(
    folder: Path,
    *,
    classes: tuple[str, ...],
    refines: bool,
    name: str,
    version: FastName = "4.9",
    sees: RefinementInputs = "both",
    cells: int = 1,
    margin_px: int = 0,
) -> ExportSource:
    """Random networks, and a card that says so.

    Args:
        sees: inputs of the refinement network; with ``image`` there is no patch network.
        cells: cells along a patch's side; with more than 1 the patch network is a tile U-Net.
    """
    folder.mkdir(parents=True)
    keras.utils.set_random_seed(3)
    networks: dict[str, keras.Model] = {}
    if sees == "both":
        networks["patch"] = (
            varied_classifier(len(classes))
            if cells == 1
            else varied_tile_network(len(classes), cells=cells, margin_px=margin_px)
        )
    if refines:
        networks["refinement"] = varied_refinement(len(classes), sees)
    files = {stage: folder / f"{stage}.keras" for stage in networks}
    for stage, network in networks.items():
        network.save(files[stage])
    card = Card(
        name=name,
        description="Drawn, not trained.",
        class_names=classes,
        preprocessing=preprocessing(version, margin_px=margin_px),
        networks={stage: _network_card(stage, network) for stage, network in networks.items()},
    )
    return ExportSource(card, files, run=None)


def onnx_model(bundle: Bundle) -> ModelFiles:
    """The same ONNX files, run by h2g."""
    return FastFiles.of(bundle)


def fast_model(bundle: Bundle) -> ModelFiles:
    """As h2g.prediction.find_model gives it for ``--engine fast``, its files unread."""
    card = bundle.card
    return ModelFiles(
        path=bundle.path,
        recipe=card.name,
        class_names=card.class_names,
        preprocessing=card.preprocessing,
        sha256=dict(card.exports[0].files),
        networks={},
        takes_patches=card.takes_patches,
        engine="fast",
        device="CPU",
    )


def keras_model(bundle: Bundle) -> ModelFiles:
    """The networks that a bundle of :func:`write_bundle` was exported from, run by Keras."""
    folder = bundle.path.parent / "keras"
    files = {name: NetworkFile(folder / f"{name}.keras") for name in bundle.card.networks}
    return dataclasses.replace(fast_model(bundle), networks=files, engine="keras")


def varied_classifier(classes: int) -> keras.Model:
    layers = keras.layers
    patch = keras.Input((PATCH_PX, PATCH_PX, 3), name="patch")
    x = layers.Conv2D(8, 5, strides=4, activation="relu")(patch)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(classes, activation="softmax", name="output_0_probabilities")(x)
    model = keras.Model(patch, x, name="small")
    _spread(model, [_pictures(64, PATCH_PX)])
    return model


def varied_tile_network(classes: int, *, cells: int, margin_px: int) -> keras.Model:
    options = {"filters": [4, 8]}
    model = build_tile_model("tile_unet", size_px=PATCH_PX, num_classes=classes, options=options)
    _spread(model, [_pictures(16, PATCH_PX)])
    return with_cells(model, cells=cells, margin_px=margin_px)


def varied_refinement(classes: int, sees: RefinementInputs = "both") -> keras.Model:
    model = build_refinement_model(
        "unet", input_px=FIELD_PX, num_classes=classes, inputs=sees, options={"filters": [4, 8]}
    )
    rng = np.random.default_rng(1)
    heatmaps = rng.random((2, 8, 8, classes - 1), np.float32).repeat(16, 1).repeat(16, 2)
    _spread(model, [_pictures(2, FIELD_PX), *([heatmaps] if sees == "both" else [])])
    return model


def _spread(model: keras.Model, inputs: list[np.ndarray]) -> None:
    """Scales the last layer so that its logits spread around 0 over the inputs."""
    (last,) = [each for each in model.layers if each.name == model.output_names[0]]
    before = keras.Model(model.inputs, last.input)
    features = np.asarray(before.predict(inputs, verbose=0))
    kernel, bias = last.get_weights()
    flat = features.reshape(-1, features.shape[-1]) @ kernel.reshape(features.shape[-1], -1)
    last.set_weights(
        [kernel * 3 / flat.std(axis=0), bias - 3 * flat.mean(axis=0) / flat.std(axis=0)]
    )


def _pictures(count: int, side_px: int) -> np.ndarray:
    """(count, side, side, 3) float32 in [0, 1]: flat colours of a slide under fine noise."""
    rng = np.random.default_rng(0)
    colours = np.array([(0.95, 0.95, 0.95), (0.9, 0.6, 0.8), (0.5, 0.3, 0.6)], np.float32)
    shares = rng.dirichlet((1, 1, 1), count).astype(np.float32)
    flat = np.einsum("nk,kc->nc", shares, colours)[:, None, None]
    return np.clip(flat + rng.normal(0, 0.1, (count, side_px, side_px, 3)), 0, 1).astype(np.float32)


def _network_card(stage: str, network: keras.Model) -> NetworkCard:
    graph = deployed(network)
    return NetworkCard(
        architecture="drawn",
        parameters=1,
        sha256="0",
        inputs={each.name: tuple(each.shape) for each in graph.inputs},
        output=tuple(graph.outputs[0].shape),
        many=stage == "patch",
        sees="pixels",
    )
