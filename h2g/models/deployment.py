"""From a trained network to the graph that every engine runs: raw pixels in, softmax out.

Whatever runs a model, Keras included, runs one of these graphs; scaling and resizing are inside,
so no engine and no host program can do them in another way. Training calls the same functions.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras

# Modules with layers of their own: Keras loads only those that it has met.
import h2g.models.architectures.otsu
import h2g.models.architectures.resnext
import h2g.models.attention
import h2g.models.backbones
import h2g.models.cells  # noqa: F401
from h2g.errors import ModelError

# Small enough to change no float32 pixel, yet no engine can see that the input is not needed.
FRAME_WEIGHT = 1e-20
# What a network's inputs are called once deployed; in this order by name, too.
INPUT_NAMES = {
    "patch": "input_0_patch",
    "image": "input_0_image",
    "heatmap": "input_1_heatmap",
}
FRAME_INPUT = "input_2_frame"


def scale_image(image: Any) -> Any:
    """RGB of 0..255, any number type, to float32 in [0, 1]."""
    return keras.ops.cast(image, "float32") / 255.0


def resize_bilinear(image: Any, size_px: tuple[int, int]) -> Any:
    """Bilinear with half-pixel centres, edges clamped, no antialiasing (cv2's INTER_LINEAR).

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
    """scale_image as a layer."""

    def call(self, image: Any) -> Any:
        return scale_image(image)


@keras.saving.register_keras_serializable(package="h2g")
class ResizeBilinear(keras.layers.Layer):
    """resize_bilinear as a layer; ``size_px`` is (width, height)."""

    def __init__(self, size_px: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size_px = (int(size_px[0]), int(size_px[1]))

    def call(self, image: Any) -> Any:
        return resize_bilinear(image, self.size_px)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size_px": self.size_px}


@keras.saving.register_keras_serializable(package="h2g")
class SpacingFrame(keras.layers.Layer):
    """Ties an unused third input to the image so that no engine drops it.

    FAST gives a result the spacing of the last input of fixed size: that must be the slide's
    picture, not the heatmap.
    """

    def call(self, inputs: Any) -> Any:
        image, frame = inputs
        return image + keras.ops.mean(frame) * FRAME_WEIGHT


def deployed(
    network: keras.Model, *, batch_size: int | None = None, spacing_frame: bool = False
) -> keras.Model:
    """The graph that engines run, made by the names of the network's inputs.

    - ``patch``: ``input_0_patch`` (N, S, S, 3) float32, RGB of 0..255. N is ``batch_size``, any
      when that is None.
    - ``image``: ``input_0_image`` (1, H, W, 3) float32, RGB of 0..255, of any size, stretched to
      the network's.
    - ``heatmap``: ``input_1_heatmap`` (1, h, w, C - 1) float32, the whole grid, stretched likewise
      where the network's size is fixed.

    Args:
        spacing_frame: add ``input_2_frame`` (1, P, P, 3), which changes nothing (SpacingFrame).
    Returns:
        A model whose output is the network's, float32, named ``output_0_...``.
    Raises:
        ModelError: inputs of other names.
    """
    unknown = [tensor.name for tensor in network.inputs if tensor.name not in INPUT_NAMES]
    if unknown:
        raise ModelError(
            f"This network's inputs are named {', '.join(unknown)}, and h2g goes by the names "
            f'{", ".join(INPUT_NAMES)}. Build it with keras.Input(..., name="patch") or so.'
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
    # Exporters name the output tensor after the last layer, which would be the network itself.
    name = network.output_names[0]
    output = keras.layers.Identity(name=name, dtype="float32")(network(_one_or_all(prepared)))
    return keras.Model(_one_or_all(inputs), output, name="deployed")


def _raw_input(tensor: Any, batch_size: int | None) -> tuple[Any, Any]:
    """The deployed graph's input for one of the network's, and what the network gets of it."""
    *_, rows, cols, channels = tensor.shape
    if tensor.name == "patch":
        shape = (batch_size, rows, cols, channels)
        raw = keras.Input(batch_shape=shape, dtype="float32", name=INPUT_NAMES["patch"])
        return raw, ScaleImage(name="scale_patch", dtype="float32")(raw)
    free = (1, None, None, channels)
    raw = ready = keras.Input(batch_shape=free, dtype="float32", name=INPUT_NAMES[tensor.name])
    if rows is not None:
        # Resized first: dividing a whole slide level would hold it in memory once more.
        name = f"resize_{tensor.name}"
        ready = ResizeBilinear((cols, rows), name=name, dtype="float32")(raw)
    if tensor.name == "image":
        ready = ScaleImage(name="scale_image", dtype="float32")(ready)
    return raw, ready


def load_network(path: Path) -> keras.Model:
    """A bare network from a .keras file, for use: not compiled, computing in float32.

    Raises:
        ModelError: the file is not there or not a model.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model file.")
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path}: not a Keras model that can be loaded (no ZIP archive, or cut off)."
        )
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        if "`Lambda`" in str(error):
            raise ModelError(
                f"{path}: holds a Lambda layer, that is Python code which loading would run; such "
                "files are not loaded. Save the model with layers that Keras knows, or registered "
                "ones."
            ) from error
        reason = str(error).strip().split("\n")[0]
        raise ModelError(f"{path}: not a Keras model that can be loaded ({reason}).") from error
    return _in_float32(network)


def _in_float32(network: keras.Model) -> keras.Model:
    """The same network computing in float32: half precision is for training on a GPU, exporters
    and CPUs want float32."""
    if all(layer.compute_dtype == "float32" for layer in network.layers):
        return network

    def float32_twin(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    twin = keras.models.clone_model(network, clone_function=float32_twin)
    twin.set_weights(network.get_weights())
    return twin


def _one_or_all(tensors: list[Any]) -> Any:
    """A network of one input takes a tensor, not a list of one."""
    return tensors if len(tensors) > 1 else tensors[0]
