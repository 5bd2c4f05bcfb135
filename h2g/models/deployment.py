"""The graph of a trained network that every engine runs, from raw pixels to softmax.

Every runtime, including Keras, runs one of these graphs. Scaling and resizing are part of the
graph, so engines and host programs cannot do them differently. Training calls the same functions.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import keras

# Modules with custom layers. Keras loads only layers of imported modules.
import h2g.models.architectures.otsu
import h2g.models.architectures.pspnet
import h2g.models.architectures.resnext
import h2g.models.attention
import h2g.models.backbones
import h2g.models.cells
import h2g.models.transformer  # noqa: F401
from h2g.errors import ModelError

# Too small to change a float32 pixel, but engines cannot tell that the input is unused.
FRAME_WEIGHT = 1e-20
# Names of a network's inputs in the deployed graph; sorting the names keeps this order.
INPUT_NAMES = {
    "patch": "input_0_patch",
    "image": "input_0_image",
    "heatmap": "input_1_heatmap",
}
FRAME_INPUT = "input_2_frame"


def scale_image(image: Any) -> Any:
    """Scales RGB in 0..255, of any number type, to float32 in [0, 1]."""
    return keras.ops.cast(image, "float32") / 255.0


def resize_bilinear(image: Any, size_px: tuple[int, int]) -> Any:
    """Bilinear resizing with half-pixel centres, clamped edges, no antialiasing (INTER_LINEAR).

    Args:
        image: ([N,] h, w, C), any number type.
        size_px: (width, height) of the result.
    Returns:
        ([N,] height, width, C) float32.
    """
    width, height = size_px
    return keras.ops.image.resize(
        keras.ops.cast(image, "float32"),
        (height, width),
        interpolation="bilinear",
        antialias=False,
        data_format="channels_last",
    )


@keras.saving.register_keras_serializable(package="h2g")
class ScaleImage(keras.layers.Layer):
    """Layer for scale_image."""

    def call(self, image: Any) -> Any:
        return scale_image(image)


@keras.saving.register_keras_serializable(package="h2g")
class ResizeBilinear(keras.layers.Layer):
    """Layer for resize_bilinear; ``size_px`` is (width, height)."""

    def __init__(self, size_px: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size_px = (int(size_px[0]), int(size_px[1]))

    def call(self, image: Any) -> Any:
        return resize_bilinear(image, self.size_px)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size_px": self.size_px}


@keras.saving.register_keras_serializable(package="h2g")
class SpacingFrame(keras.layers.Layer):
    """Ties an unused third input to the image, so that no engine drops it.

    FAST gives a result the spacing of the last input with a fixed size. That must be the slide's
    image, not the heatmap.
    """

    def call(self, inputs: Any) -> Any:
        image, frame = inputs
        return image + keras.ops.mean(frame) * FRAME_WEIGHT


def deployed(
    network: keras.Model, *, batch_size: int | None = None, spacing_frame: bool = False
) -> keras.Model:
    """The graph that engines run, built from the names of the network's inputs.

    - ``patch``: ``input_0_patch`` (N, S, S, 3) float32, RGB in 0..255. N is ``batch_size``, or any
      number if that is None.
    - ``image``: ``input_0_image`` (1, H, W, 3) float32, RGB in 0..255, of any size. It is resized
      to the network's size.
    - ``heatmap``: ``input_1_heatmap`` (1, h, w, C - 1) float32, the whole grid. It is resized if
      the network's size is fixed.

    Args:
        spacing_frame: adds ``input_2_frame`` (1, P, P, 3), which changes nothing (SpacingFrame).
    Returns:
        A model with the network's output, float32, named ``output_0_...``.
    Raises:
        ModelError: an input has another name.
    """
    unknown = [tensor.name for tensor in network.inputs if tensor.name not in INPUT_NAMES]
    if unknown:
        raise ModelError(
            f"This network's inputs are named {', '.join(unknown)}, but h2g needs the names "
            f'{", ".join(INPUT_NAMES)}. Build it with keras.Input(..., name="patch") or similar.'
        )
    inputs, prepared = [], []
    for tensor in network.inputs:
        raw, ready = _raw_input(tensor, batch_size)
        inputs.append(raw)
        prepared.append(ready)
    if spacing_frame:
        frame = keras.Input(batch_shape=(1, *network.inputs[0].shape[1:3], 3), name=FRAME_INPUT)
        inputs.append(frame)
        prepared[0] = SpacingFrame(name="spacing_frame", dtype="float32")([prepared[0], frame])
    # Exporters name the output tensor after the last layer, so that layer gets the output's name.
    name = network.output_names[0]
    output = keras.layers.Identity(name=name, dtype="float32")(network(_one_or_all(prepared)))
    return keras.Model(_one_or_all(inputs), output, name="deployed")


def _raw_input(tensor: Any, batch_size: int | None) -> tuple[Any, Any]:
    """An input of the deployed graph, and the tensor that it gives to the network."""
    *_, rows, cols, channels = tensor.shape
    if tensor.name == "patch":
        shape = (batch_size, rows, cols, channels)
        raw = keras.Input(batch_shape=shape, dtype="float32", name=INPUT_NAMES["patch"])
        return raw, ScaleImage(name="scale_patch", dtype="float32")(raw)
    any_size = (1, None, None, channels)
    raw = ready = keras.Input(batch_shape=any_size, dtype="float32", name=INPUT_NAMES[tensor.name])
    if rows is not None:
        # Resized before scaling, which would otherwise copy a whole slide level.
        name = f"resize_{tensor.name}"
        ready = ResizeBilinear((cols, rows), name=name, dtype="float32")(raw)
    if tensor.name == "image":
        ready = ScaleImage(name="scale_image", dtype="float32")(ready)
    return raw, ready


def load_network(path: Path) -> keras.Model:
    """Loads a bare network from a .keras file, uncompiled and in float32.

    Raises:
        ModelError: the file is missing or not a model.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model file.")
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path}: not a Keras model that can be loaded (not a ZIP archive, or truncated)."
        )
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        if "`Lambda`" in str(error):
            raise ModelError(
                f"{path}: contains a Lambda layer, and loading it would run its Python code. h2g "
                "does not load such files. Save the model with Keras's own or registered layers "
                "instead."
            ) from error
        if own := re.search(r"(?:Could not locate \w+|Unknown layer:) '([^']+)'", str(error)):
            raise ModelError(
                f"{path}: has a layer '{own[1]}' of its author's own code, which h2g does not "
                "have. Build the model of Keras's own layers and save it again."
            ) from error
        reason = str(error).strip().split("\n")[0]
        raise ModelError(f"{path}: not a Keras model that can be loaded ({reason}).") from error
    return _in_float32(_functional(network))


def _functional(network: keras.Model) -> keras.Model:
    """A sequential model as a functional one, which names its inputs and outputs."""
    if isinstance(network, keras.Sequential) and network.built:
        return keras.Model(network.inputs, network.outputs, name=network.name)
    return network


def _in_float32(network: keras.Model) -> keras.Model:
    """The same network in float32.

    Half precision is for training on a GPU. Exporters and CPUs need float32.
    """
    if all(layer.compute_dtype == "float32" for layer in network.layers):
        return network

    def float32_twin(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    twin = keras.models.clone_model(network, clone_function=float32_twin)
    twin.set_weights(network.get_weights())
    return twin


def _one_or_all(tensors: list[Any]) -> Any:
    """The list of tensors, or a single one itself, since a network of one input takes no list."""
    return tensors if len(tensors) > 1 else tensors[0]
