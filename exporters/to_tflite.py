"""Export of a deployed Keras graph to TFLite, which LiteRT runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import keras
import tensorflow as tf

from h2g.exporters.tracing import saved_model
from h2g.files import replacing
from h2g.quiet import without_chatter


def write_tflite(
    model: keras.Model, path: Path, *, precision: Literal["float32", "float16"] = "float32"
) -> None:
    """Writes a deployed graph as one .tflite file.

    It has the signature ``serving_default`` with the graph's input and output names. Free sizes
    of the graph stay free.

    Args:
        precision: precision of the stored weights; inputs, outputs and arithmetic are float32
            either way.
    """
    with saved_model(model) as folder, without_chatter():
        # Not from_concrete_functions, which omits the weights and gives NaN.
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        if precision == "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
