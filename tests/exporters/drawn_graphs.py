"""Deployed graphs with random weights under which no layer is without effect."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from h2g.models.blocks import batch_norms
from h2g.models.deployment import deployed
from h2g.models.registry import (
    REFINEMENT_MODELS,
    TILE_MODELS,
    build_patch_model,
    build_refinement_model,
    build_tile_model,
)
from h2g.models.transformer import PositionEmbedding

CLASSES = 3
NEUTRAL_WHEN_FRESH = (
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    PositionEmbedding,
)
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class DrawnGraph:
    """A deployed graph and what Keras makes of some inputs, both by name."""

    model: keras.Model
    feeds: list[Arrays]
    outputs: list[Arrays]

    def largest_difference(self, found: list[Arrays]) -> float:
        """Of outputs of the same names and shapes; NaN where one is NaN."""
        differences = []
        for expected, output in zip(self.outputs, found, strict=True):
            assert list(output) == list(expected)
            for name, values in expected.items():
                assert output[name].shape == values.shape
                assert output[name].dtype == np.float32
                differences.append(np.abs(output[name] - values).max())
        return float(np.max(differences))


def patch_graph(
    name: str,
    *,
    size_px: int,
    batches: tuple[int, ...],
    batch_size: int | None = None,
    options: dict | None = None,
) -> DrawnGraph:
    """A patch network of 3 classes, and a feed of each size in ``batches``.

    Args:
        batch_size: that the graph is fixed to.
    """
    keras.utils.set_random_seed(0)
    build = build_tile_model if name in TILE_MODELS else build_patch_model
    network = build(name, size_px=size_px, num_classes=CLASSES, options=options)
    draw_statistics(network)
    model = deployed(network, batch_size=batch_size)
    return drawn(model, [((number, size_px, size_px),) for number in batches])


def small_patch_graph(*, batch_size: int | None = None) -> DrawnGraph:
    """Of 32 px; batches of 1 and 3, or two of ``batch_size``."""
    batches = (batch_size, batch_size) if batch_size else (1, 3)
    options = {"alpha": 0.35}
    return patch_graph(
        "mobilenet_v2", size_px=32, batches=batches, batch_size=batch_size, options=options
    )


def refinement_graph(
    name: str,
    *,
    input_px: int,
    sizes: tuple[tuple[tuple[int, int], tuple[int, int]], ...],
    options: dict | None = None,
    spacing_frame: bool = False,
) -> DrawnGraph:
    """A refinement network of 3 classes, and a feed of each size.

    Args:
        sizes: by feed, (height, width) of the image and of the heatmap.
    """
    keras.utils.set_random_seed(0)
    trained = REFINEMENT_MODELS[name].is_trained
    classes = CLASSES if trained else 2
    network = build_refinement_model(name, input_px=input_px, num_classes=classes, options=options)
    if trained:
        draw_statistics(network)
    model = deployed(network, spacing_frame=spacing_frame)
    drawn_sizes = []
    for image, heatmap in sizes:
        shapes = {"input_0_image": image, "input_1_heatmap": heatmap}
        frame = (input_px, input_px)
        drawn_sizes.append(tuple((1, *shapes.get(each.name, frame)) for each in model.inputs))
    return drawn(model, drawn_sizes)


def small_refinement_graph(*, spacing_frame: bool = False) -> DrawnGraph:
    """Of 16 px; two sizes of image and heatmap, larger and smaller than that."""
    sizes = (((37, 53), (5, 7)), ((16, 11), (21, 18)))
    options = {"filters": [4, 8]}
    return refinement_graph(
        "unet", input_px=16, sizes=sizes, options=options, spacing_frame=spacing_frame
    )


def draw_statistics(network: keras.Model) -> None:
    """Random scale, offset, mean and variance in every norm, random positions, and a random last
    bias: fresh ones do nothing, so that a converter that lost them would pass."""
    rng = np.random.default_rng(0)
    own = [layer for layer in network.layers if isinstance(layer, NEUTRAL_WHEN_FRESH)]
    for layer in [*batch_norms(network), *own]:
        for variable in layer.variables:
            wide = variable.name in ("gamma", "moving_variance")
            values = (
                rng.uniform(0.5, 1.5, variable.shape)
                if wide
                else rng.normal(0, 0.1, variable.shape)
            )
            variable.assign(values)
    last = [layer for layer in network.layers if getattr(layer, "bias", None) is not None][-1]
    last.bias.assign(rng.normal(0, 0.5, last.bias.shape))


def drawn(model: keras.Model, shapes: list[tuple[tuple[int, int, int], ...]]) -> DrawnGraph:
    """
    Args:
        shapes: by feed and input, (N, height, width).
    """
    rng = np.random.default_rng(1)
    feeds = []
    for shapes_of_feed in shapes:
        feed = {}
        for tensor, shape in zip(model.inputs, shapes_of_feed, strict=True):
            top = 1.0 if tensor.name == "input_1_heatmap" else 255.0
            feed[tensor.name] = rng.uniform(0, top, (*shape, tensor.shape[-1])).astype(np.float32)
        feeds.append(feed)
    return DrawnGraph(model, feeds, [keras_outputs(model, feed) for feed in feeds])


def keras_outputs(model: keras.Model, feed: Arrays) -> Arrays:
    arrays = list(feed.values())
    output = model(arrays if len(arrays) > 1 else arrays[0], training=False)
    return {model.output_names[0]: keras.ops.convert_to_numpy(output)}
