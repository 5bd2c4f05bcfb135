"""Deployed graphs as FAST runs them: what was not scanned comes as black, and becomes white."""

from __future__ import annotations

from typing import Any

import keras

from h2g.bundle import Stage
from h2g.exporters.source import ExportSource, deployed_patch, deployed_refinement_of
from h2g.inference.engine import HEATMAP_INPUT

WHITE = 255.0


@keras.saving.register_keras_serializable(package="h2g")
class WhiteGlass(keras.layers.Layer):
    """Black pixels to white: FAST drops the alpha channel, which leaves black where a slide has no
    pixels, and networks learnt from slides on white (h2g.slides)."""

    def call(self, image: Any) -> Any:
        is_black = keras.ops.max(image, axis=-1, keepdims=True) <= 0
        return image + WHITE * keras.ops.cast(is_black, image.dtype)


def fast_graphs(source: ExportSource) -> dict[Stage, keras.Model]:
    """The graphs of a source's networks: one patch a call, and one more input for the refinement,
    which gives the result its place on the slide.

    Of a heatmap with several channels each is an input of its own: FAST 4.15.1 gives a network the
    pixels of such an image in a wrong order (TensorToImage: channel by channel where pixel by pixel
    is read), those of one channel in the right one.
    """
    graphs: dict[Stage, keras.Model] = {}
    if source.files.patch is not None:
        graphs["patch"] = _for_fast(deployed_patch(source, batch_size=1))
    if source.files.refinement is not None:
        graphs["refinement"] = _for_fast(deployed_refinement_of(source, spacing_frame=True))
    return graphs


def heatmap_inputs(channels: int) -> list[str]:
    """Names of the inputs that a heatmap without background goes into; in this order by name, too,
    which is how FAST numbers them."""
    if channels == 1:
        return [HEATMAP_INPUT]
    return [f"{HEATMAP_INPUT}_{number:02}" for number in range(1, channels + 1)]


def _for_fast(deployed: keras.Model) -> keras.Model:
    """The same graph; its first input is the picture."""
    inputs, seen = [], []
    for place, each in enumerate(deployed.inputs):
        channels = each.shape[-1]
        names = heatmap_inputs(channels) if each.name == HEATMAP_INPUT else [each.name]
        shape = (*each.shape[:-1], channels // len(names))
        own = [keras.Input(batch_shape=shape, dtype="float32", name=name) for name in names]
        inputs += own
        tensor = keras.layers.Concatenate(name="join_heatmap")(own) if len(own) > 1 else own[0]
        seen.append(
            WhiteGlass(name="white_glass", dtype="float32")(tensor) if not place else tensor
        )
    output = deployed(seen if len(seen) > 1 else seen[0])
    named = keras.layers.Identity(name=deployed.output_names[0], dtype="float32")(output)
    return keras.Model(inputs, named, name=deployed.name)
