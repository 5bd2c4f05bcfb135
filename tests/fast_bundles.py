"""Bundles for FAST whose networks have random weights, and yet outputs that vary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from h2g.bundle import Bundle, Card, Export, Network, Stage, write_card
from h2g.exporters.fast_limits import PROFILE_OF
from h2g.exporters.source import ExportSource
from h2g.exporters.to_fast import write_fast
from h2g.fast_versions import FastName
from h2g.files import file_sha256
from h2g.inference.bundles import export_files
from h2g.inference.engine import NetworkFiles
from h2g.inference.loaded_model import LoadedModel
from h2g.inference.onnx_engine import OnnxEngine
from h2g.models.registry import build_refinement_model
from h2g.recipes.preprocessing import PROFILES, Preprocessing
from h2g.recipes.refinement import RefinementInputs

PATCH_PX, MPP, FIELD_PX = 64, 2.0, 128


def preprocessing(
    version: FastName = "4.9", *, mpp: float = MPP, size_px: int = PATCH_PX
) -> Preprocessing:
    fast = PROFILES[PROFILE_OF[version]]
    patch = fast.patch.model_copy(update={"mpp": mpp, "size_px": size_px})
    return fast.model_copy(update={"patch": patch})


def write_bundle(folder: Path, **drawn: Any) -> Bundle:
    """Networks drawn anew, in FAST's format only; ``drawn`` as :func:`write_source` takes it."""
    source = write_source(folder / "keras", **drawn)
    path = folder / "bundle"
    networks = write_fast(source, path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    export = Export(
        format="fast",
        precision="float32",
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
) -> ExportSource:
    """Networks drawn anew, and a card that says so.

    Args:
        sees: what the refinement network does; of ``image`` there is no patch network.
    """
    folder.mkdir(parents=True)
    keras.utils.set_random_seed(3)
    networks: dict[Stage, keras.Model] = {}
    if sees == "both":
        networks["patch"] = varied_classifier(len(classes))
    if refines:
        networks["refinement"] = varied_refinement(len(classes), sees)
    files = {stage: folder / f"{stage}.keras" for stage in networks}
    for stage, network in networks.items():
        network.save(files[stage])
    card = Card(
        name=name,
        description="Drawn, not trained.",
        h2g_version="0",
        class_names=classes,
        preprocessing=preprocessing(version),
        refinement_px=FIELD_PX if refines else None,
        refinement_inputs=sees,
        networks={
            stage: Network(architecture="drawn", parameters=1, sha256="0") for stage in files
        },
    )
    paths = NetworkFiles(
        files.get("patch"), files.get("refinement"), card.refinement_px, len(classes)
    )
    return ExportSource(card, paths, run=None)


def onnx_model(bundle: Bundle) -> LoadedModel:
    """The same ONNX files, run by h2g."""
    files = export_files(bundle, bundle.card.exports[0])
    return _loaded(bundle, lambda batch_size: OnnxEngine(files, batch_size=batch_size))


def fast_model(bundle: Bundle) -> LoadedModel:
    """As h2g.inference.loading gives it for ``--engine fast``."""

    def refuse(batch_size: int) -> OnnxEngine:
        raise AssertionError("FAST runs whole slides")

    return _loaded(bundle, refuse)


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


def _loaded(bundle: Bundle, open_engine) -> LoadedModel:
    return LoadedModel(
        path=bundle.path,
        recipe=bundle.card.name,
        class_names=bundle.card.class_names,
        preprocessing=bundle.card.preprocessing,
        sha256=dict(bundle.card.exports[0].files),
        open_engine=open_engine,
        has_patch="patch" in bundle.card.networks,
    )
