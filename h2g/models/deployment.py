"""From a trained network to the graph that every engine runs: raw pixels in, softmax out.

Whatever runs a model, Keras included, runs one of these graphs; scaling and resizing are inside,
so no engine and no host program can do them in another way. Training calls the same two functions.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras

from h2g.errors import ModelError

# Modules with layers of their own: Keras loads only those that it has met.
from h2g.models import attention, backbones, otsu, resnext  # noqa: F401

# Small enough to change no float32 pixel, yet no engine can see that the input is not needed.
FRAME_WEIGHT = 1e-20


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


def deployed_patch_classifier(
    network: keras.Model, *, batch_size: int | None = None
) -> keras.Model:
    """The graph of stage 1.

    Input ``input_0_patch``: (N, S, S, 3) float32, RGB of 0..255. Output: the network's,
    ``output_0_...``, (N, C) float32 softmax. N is ``batch_size``, any when that is None.
    """
    shape = (batch_size, *network.input_shape[1:])
    patch = keras.Input(batch_shape=shape, dtype="float32", name="input_0_patch")
    scaled = ScaleImage(name="scale_patch", dtype="float32")(patch)
    return keras.Model(patch, _named_output(network, scaled), name="deployed_patch_classifier")


def deployed_refinement(
    network: keras.Model, input_px: int, spacing_frame: bool = False
) -> keras.Model:
    """The graph of stage 2; image and heatmap of any size, each stretched to ``input_px`` a side.

    Inputs, those of them that the network has: ``input_0_image``: (1, H, W, 3) float32, RGB of
    0..255; ``input_1_heatmap``: (1, h, w, C - 1) float32, the whole grid; with ``spacing_frame``
    also ``input_2_frame``: (1, input_px, input_px, 3), which changes nothing. Output: the
    network's, ``output_0_...``, (1, input_px, input_px, C) float32 softmax.
    """
    inputs, small = [], []
    size_px = (input_px, input_px)
    for tensor in network.inputs:
        name, is_image = tensor.name, tensor.name == "image"
        raw = _free_size_input(tensor.shape[-1], "input_0_image" if is_image else "input_1_heatmap")
        # Resized first: dividing a whole slide level would hold it in memory once more.
        x = ResizeBilinear(size_px, name=f"resize_{name}", dtype="float32")(raw)
        inputs.append(raw)
        small.append(ScaleImage(name="scale_image", dtype="float32")(x) if is_image else x)
    if spacing_frame:
        frame = keras.Input(batch_shape=(1, input_px, input_px, 3), name="input_2_frame")
        inputs.append(frame)
        small[0] = SpacingFrame(name="spacing_frame", dtype="float32")([small[0], frame])
    output = _named_output(network, _one_or_all(small))
    return keras.Model(_one_or_all(inputs), output, name="deployed_refinement")


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


def _free_size_input(channels: int, name: str) -> Any:
    return keras.Input(batch_shape=(1, None, None, channels), dtype="float32", name=name)


def _named_output(network: keras.Model, inputs: Any) -> Any:
    # Exporters name the output tensor after the last layer, which would be the network itself.
    name = network.output_names[0]
    return keras.layers.Identity(name=name, dtype="float32")(network(inputs))
