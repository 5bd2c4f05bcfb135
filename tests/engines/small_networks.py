"""Two small networks with random weights, in every format, and Keras's outputs for samples."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from h2g import __version__
from h2g.engines.engine import (
    HEATMAP_INPUT,
    IMAGE_INPUT,
    PATCH_INPUT,
    Feed,
    Network,
    Shape,
    open_network,
)
from h2g.exporters.fast_graphs import fast_graphs
from h2g.exporters.source import ExportSource, deployed_graph
from h2g.exporters.to_onnx import write_onnx
from h2g.exporters.to_openvino import write_openvino
from h2g.exporters.to_tflite import write_tflite
from h2g.files import file_sha256
from h2g.folders.bundle import Card, Export, Format, NetworkCard, write_card
from h2g.models.registry import build_refinement_model
from h2g.recipes.preprocessing import LowResolutionSettings, PatchSettings, Preprocessing
from tests.engines.varied_networks import vary

PATCH_PX = 32
FIELD_PX = 32
CLASSES = ("background", "tumour", "immune")
PREPROCESSING = Preprocessing(
    patch=PatchSettings(mpp=1.0, size_px=PATCH_PX, min_tissue=0.25),
    low_resolution=LowResolutionSettings(min_side_px=256),
)
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "tflite": ".tflite"}
NAMES = ("patch", "refinement")
INPUTS: dict[str, dict[str, Shape]] = {
    "patch": {PATCH_INPUT: (None, PATCH_PX, PATCH_PX, 3)},
    "refinement": {
        IMAGE_INPUT: (1, None, None, 3),
        HEATMAP_INPUT: (1, None, None, len(CLASSES) - 1),
    },
}
OUTPUTS: dict[str, Shape] = {
    "patch": (None, len(CLASSES)),
    "refinement": (1, FIELD_PX, FIELD_PX, len(CLASSES)),
}


@dataclass(frozen=True)
class SmallNetworks:
    """A folder with patch.* and refinement.* as .keras, .onnx, .xml and .tflite.

    Its folder fast/ holds the .onnx files for FAST: one patch per call, one input per class, and a
    frame.
    """

    folder: Path

    def file(self, name: str, suffix: str, *, fast: bool = False) -> Path:
        folder = self.folder / "fast" if fast else self.folder
        return folder / f"{name}{suffix}"

    @cached_property
    def patches(self) -> np.ndarray:
        """(21, S, S, 3) uint8 of different colours; more than one batch."""
        rng = np.random.default_rng(0)
        colours = rng.integers(40, 216, (21, 1, 1, 3))
        noise = rng.integers(-40, 40, (21, PATCH_PX, PATCH_PX, 3))
        return (colours + noise).astype(np.uint8)

    @cached_property
    def fields(self) -> list[Feed]:
        """Images (1, H, W, 3) uint8 and heatmaps (1, h, w, C - 1) float32 of several sizes."""
        rng = np.random.default_rng(1)
        return [
            {
                IMAGE_INPUT: rng.integers(0, 256, (1, *size, 3), dtype=np.uint8),
                HEATMAP_INPUT: rng.random((1, *grid, len(CLASSES) - 1), np.float32),
            }
            for size, grid in (((60, 70), (5, 6)), ((200, 90), (13, 6)), ((33, 31), (1, 2)))
        ]

    @cached_property
    def expected(self) -> np.ndarray:
        """Probabilities of ``patches``, (21, C) float32."""
        return self._in_keras("patch").run({PATCH_INPUT: self.patches})

    @cached_property
    def expected_fields(self) -> list[np.ndarray]:
        network = self._in_keras("refinement")
        return [network.run(field) for field in self.fields]

    def _in_keras(self, name: str) -> Network:
        return open_network(self.file(name, ".keras"), engine="keras", many=name == "patch")


def write_networks(folder: Path) -> None:
    networks = SmallNetworks(folder)
    (folder / "fast").mkdir(parents=True)
    keras.utils.set_random_seed(0)
    patch, refinement = _patch_network(), _refinement_network()
    _vary(patch, [networks.patches.astype(np.float32) / 255])
    rng = np.random.default_rng(2)
    image = rng.random((4, FIELD_PX, FIELD_PX, 3), np.float32)
    _vary(refinement, [image, rng.random((4, FIELD_PX, FIELD_PX, 2), np.float32)])
    files = {name: networks.file(name, ".keras") for name in NAMES}
    patch.save(files["patch"])
    refinement.save(files["refinement"])
    source = ExportSource(_card(networks, NAMES, ()), files, run=None)
    for name in NAMES:
        graph = deployed_graph(source, name)
        write_onnx(graph, networks.file(name, ".onnx"))
        write_openvino(networks.file(name, ".onnx"), networks.file(name, ".xml"))
        write_tflite(graph, networks.file(name, ".tflite"))
    for name, graph in fast_graphs(source).items():
        write_onnx(graph, networks.file(name, ".onnx", fast=True))


def write_bundle(
    folder: Path,
    networks: SmallNetworks,
    *,
    formats: tuple[Format, ...] = ("onnx", "openvino", "tflite", "fast"),
    stages: tuple[str, ...] = NAMES,
) -> Path:
    """A float32 bundle with the layout of 'h2g export'."""
    (folder / "fast").mkdir(parents=True)
    exports = tuple(_export(folder, networks, format, stages) for format in formats)
    card = _card(networks, stages, exports)
    write_card(folder, card)
    return folder


def _card(networks: SmallNetworks, stages: tuple[str, ...], exports: tuple[Export, ...]) -> Card:
    return Card(
        name="small",
        description="Random weights.",
        class_names=CLASSES,
        preprocessing=PREPROCESSING,
        networks={
            stage: NetworkCard(
                architecture="small",
                parameters=1,
                sha256=file_sha256(networks.file(stage, ".keras")),
                inputs=INPUTS[stage],
                output=OUTPUTS[stage],
                many=stage == "patch",
                sees="pixels",
            )
            for stage in stages
        },
        exports=exports,
    )


def _export(
    folder: Path, networks: SmallNetworks, format: Format, stages: tuple[str, ...]
) -> Export:
    if format == "fast":
        opened = {stage: f"fast/{stage}.onnx" for stage in stages}
    else:
        opened = {stage: f"{stage}{SUFFIXES[format]}" for stage in stages}
    names = [name for path in opened.values() for name in (path, path.replace(".xml", ".bin"))]
    for name in names:
        shutil.copyfile(networks.folder / name, folder / name)
    return Export(
        format=format,
        precision="float32",
        h2g_version=__version__,
        networks=opened,
        files={name: file_sha256(folder / name) for name in sorted(set(names))},
    )


def _vary(network: keras.Model, inputs: list[np.ndarray]) -> None:
    vary(network, inputs)
    # Otherwise all classes but 1 are equal.
    head = next(layer for layer in reversed(network.layers) if layer.weights)
    kernel, bias = head.get_weights()
    kernel[..., 2], bias[2] = -0.5 * kernel[..., 1], -0.5 * bias[1]
    head.set_weights([kernel, bias])


def _patch_network() -> keras.Model:
    """A network of one convolution, which is fast to convert."""
    patch = keras.Input((PATCH_PX, PATCH_PX, 3), name="patch")
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(patch)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    output = keras.layers.Dense(len(CLASSES), activation="softmax", name="output_0_probabilities")
    return keras.Model(patch, output(x))


def _refinement_network() -> keras.Model:
    options = {"filters": [4, 8]}
    return build_refinement_model("unet", input_px=FIELD_PX, num_classes=3, options=options)
