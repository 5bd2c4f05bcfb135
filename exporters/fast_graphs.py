"""Deployed graphs for FAST, which delivers unscanned areas as black; the graphs turn them white."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from h2g.engines.engine import HEATMAP_INPUT, Feed, Network, Shape
from h2g.exporters.source import ExportSource, deployed_graph
from h2g.folders.bundle import NetworkCard
from h2g.models.deployment import FRAME_INPUT
from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.fast_patches import PIXELS_A_CELL

WHITE = 255.0
# Only its size matters: PIXELS_A_CELL for each cell of the heatmap.
EXTENT_INPUT = "input_2_extent"


@keras.saving.register_keras_serializable(package="h2g")
class WhiteGlass(keras.layers.Layer):
    """Layer that turns black pixels white.

    FAST drops the alpha channel, so areas without pixels are black. Networks are trained on slides
    with a white background (h2g.slides).
    """

    def call(self, image: Any) -> Any:
        is_black = keras.ops.max(image, axis=-1, keepdims=True) <= 0
        return image + WHITE * keras.ops.cast(is_black, image.dtype)


@keras.saving.register_keras_serializable(package="h2g")
class CutToExtent(keras.layers.Layer):
    """Layer that crops a heatmap to the slide.

    FAST 4.9 adds empty cells on the right and below to heatmaps of resampled patches.

    Inputs: the heatmap (1, h, w, 1), and an image (1, H, W, 1) of the slide's size, with
    ``pixels_a_cell`` pixels per side of a cell; its values are ignored.
    """

    def __init__(self, pixels_a_cell: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pixels_a_cell = pixels_a_cell

    def call(self, inputs: Any) -> Any:
        heatmap, extent = inputs
        rows, cols = (self._cells(keras.ops.shape(extent)[axis]) for axis in (1, 2))
        return heatmap[:, :rows, :cols, :]

    def compute_output_spec(self, inputs: Any) -> Any:
        heatmap, _ = inputs
        return keras.KerasTensor((1, None, None, heatmap.shape[-1]), dtype=heatmap.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pixels_a_cell": self.pixels_a_cell}

    def _cells(self, side: Any) -> Any:
        """Number of whole cells that cover a side."""
        return (side + self.pixels_a_cell - 1) // self.pixels_a_cell


def fast_graphs(source: ExportSource) -> dict[str, keras.Model]:
    """The graphs of a source's networks, adapted to FAST.

    A patch network takes one patch per call. A network that sees the slide has an extra input,
    which gives the result its place; for FAST 4.9 it has another (:class:`CutToExtent`).

    Each channel of a heatmap is an input of its own. FAST 4.15.1 passes images of several channels
    in the wrong pixel order (TensorToImage writes channel by channel, and pixel by pixel is read).
    """
    graphs: dict[str, keras.Model] = {}
    for name, card in source.card.networks.items():
        if card.many:
            graph = deployed_graph(source, name, batch_size=1)
            if card.cells:
                graph = _whole_tiles(graph, source.card.preprocessing.patch)
        else:
            graph = deployed_graph(source, name, spacing_frame=True)
        cuts = source.card.preprocessing.fast_version == "4.9" and HEATMAP_INPUT in card.inputs
        graphs[name] = _for_fast(graph, cuts=cuts)
    return graphs


def run_fast_graph(
    network: Network, card: NetworkCard, patch: PatchSettings, feed: Feed
) -> np.ndarray:
    """The output of a graph for FAST, in the form of the original network's output.

    Args:
        feed: inputs of the original network.
    """
    answer = network.run(fast_feed(network.inputs, feed))
    if not card.cells:
        return answer
    step, margin = patch.step_px // card.cells, patch.margin_px
    inner = slice(margin, patch.size_px - margin, step)
    return answer[:, inner, inner]


def fast_feed(inputs: Mapping[str, Shape], feed: Feed) -> Feed:
    """The inputs of a graph for FAST, made from those of the original network.

    Args:
        inputs: input shapes of the graph for FAST.
    """
    return {name: _fast_input(name, shape, feed) for name, shape in inputs.items()}


def _fast_input(name: str, shape: Shape, feed: Feed) -> np.ndarray:
    if name in feed:
        return feed[name]
    if name == FRAME_INPUT:
        return np.zeros([side or 1 for side in shape], np.float32)
    heatmap = feed[HEATMAP_INPUT]
    if name == EXTENT_INPUT:
        _, rows, cols, _ = heatmap.shape
        return np.zeros((1, rows * PIXELS_A_CELL, cols * PIXELS_A_CELL, 1), np.float32)
    channel = int(name.removeprefix(f"{HEATMAP_INPUT}_"))
    return heatmap[..., channel - 1 : channel]


def heatmap_inputs(channels: int) -> list[str]:
    """Names of the inputs for a heatmap without background.

    Sorted by name they have the same order, because FAST numbers inputs by name.
    """
    if channels == 1:
        return [HEATMAP_INPUT]
    return [f"{HEATMAP_INPUT}_{number:02}" for number in range(1, channels + 1)]


def _for_fast(deployed: keras.Model, *, cuts: bool) -> keras.Model:
    """The same graph with FAST's inputs; the first input is the image."""
    inputs, seen = [], []
    extent = _input((1, None, None, 1), EXTENT_INPUT) if cuts else None
    for place, each in enumerate(deployed.inputs):
        channels = each.shape[-1]
        names = heatmap_inputs(channels) if each.name == HEATMAP_INPUT else [each.name]
        own = [_input((*each.shape[:-1], channels // len(names)), name) for name in names]
        inputs += own
        tensor = keras.layers.Concatenate(name="join_heatmap")(own) if len(own) > 1 else own[0]
        if each.name == HEATMAP_INPUT and extent is not None:
            inputs.append(extent)
            tensor = CutToExtent(PIXELS_A_CELL, name="cut_heatmap")([tensor, extent])
        seen.append(
            WhiteGlass(name="white_glass", dtype="float32")(tensor) if not place else tensor
        )
    output = deployed(seen if len(seen) > 1 else seen[0])
    named = keras.layers.Identity(name=deployed.output_names[0], dtype="float32")(output)
    return keras.Model(inputs, named, name=deployed.name)


def _whole_tiles(deployed: keras.Model, patch: PatchSettings) -> keras.Model:
    """Graph with probabilities for every pixel of a patch, margins included, as FAST stitches them.

    Each pixel has the values of its cell. The margins are 0, and FAST cuts them off.
    """
    step = patch.step_px // deployed.outputs[0].shape[1]
    x = keras.layers.UpSampling2D(step, name="pixels_of_cells")(deployed.outputs[0])
    # The output is named after the last layer.
    x = keras.layers.ZeroPadding2D(patch.margin_px, name="output_0_pixels", dtype="float32")(x)
    return keras.Model(deployed.inputs, x, name=deployed.name)


def _input(shape: tuple[int | None, ...], name: str) -> Any:
    return keras.Input(batch_shape=shape, dtype="float32", name=name)
