"""A deployed Keras graph in TensorFlow's form, from which all converters start."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from h2g.quiet import without_chatter

SIGNATURE = "serving_default"


def serving_function(model: keras.Model) -> Any:
    """The graph in inference mode as a ``tf.function``.

    Converters name tensors after its arguments, which have the names of the model's inputs, and
    after the key of its result, {name of the model's output: tensor}.
    """
    (output,) = model.output_names
    arguments = [tf.TensorSpec(each.shape, each.dtype, name=each.name) for each in model.inputs]

    @tf.function(input_signature=arguments, autograph=False)
    def serve(*tensors: Any) -> dict[str, Any]:
        inputs = list(tensors) if len(tensors) > 1 else tensors[0]
        return {output: model(inputs, training=False)}

    return serve


@contextlib.contextmanager
def saved_model(model: keras.Model) -> Iterator[Path]:
    """A temporary SavedModel folder of the graph, with the signature ``serving_default``.

    Keras's own export takes three times as long, and names the output ``output_0``.
    """
    function = serving_function(model)
    variables = tf.Module()
    # The bare TensorFlow variables. With a Keras model as an attribute no weights would be saved,
    # and the converters would give NaN.
    variables.all = [variable.value for variable in model.variables]
    with tempfile.TemporaryDirectory(prefix="h2g-") as folder:
        with without_chatter():
            tf.saved_model.save(variables, folder, signatures={SIGNATURE: function})
        yield Path(folder)
