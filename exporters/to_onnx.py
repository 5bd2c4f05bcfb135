"""Export of a deployed Keras graph to ONNX."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import onnx
import tf2onnx

from h2g.errors import WrongUseError
from h2g.exporters.tracing import serving_function
from h2g.files import replacing
from h2g.quiet import without_chatter

OPSETS = range(13, 19)
CATCH_ERRORS = "TF2ONNX_CATCH_ERRORS"
AXES = ("batch", "height", "width")


def write_onnx(
    model: keras.Model, path: Path, *, opset: int = 17, metadata: Mapping[str, str] = {}
) -> None:
    """Writes a deployed graph as one .onnx file, weights included.

    Input and output names are those of the graph; its free sizes stay free.

    Args:
        opset: 13 to 18.
        metadata: written into the file's properties, which runtimes can show.
    Raises:
        WrongUseError: the opset cannot be written.
    """
    if opset not in OPSETS:
        raise WrongUseError(
            f"ONNX opset {opset} cannot be written. Give --opset {OPSETS[0]} to {OPSETS[-1]}."
        )
    function = serving_function(model)
    with without_chatter(), _stopping_at_errors():
        network, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=opset)
    network.graph.name = model.name
    _name_free_sizes(network.graph)
    onnx.helper.set_model_props(network, dict(metadata))
    onnx.checker.check_model(network)
    with replacing(path) as temporary:
        onnx.save(network, temporary)


@contextlib.contextmanager
def _stopping_at_errors() -> Iterator[None]:
    """Makes tf2onnx stop when an optimisation fails.

    By default it continues without that optimisation. For this it copies all weights before each
    of about thirty, which takes three times as long.
    """
    previous = os.environ.get(CATCH_ERRORS)
    os.environ[CATCH_ERRORS] = "FALSE"
    try:
        yield
    finally:
        if previous is None:
            del os.environ[CATCH_ERRORS]
        else:
            os.environ[CATCH_ERRORS] = previous


def _name_free_sizes(graph: onnx.GraphProto) -> None:
    """Names free sizes, e.g. ``batch`` and ``input_0_image_height``, which tf2onnx only numbers."""
    for tensor in (*graph.input, *graph.output):
        for size, axis in zip(tensor.type.tensor_type.shape.dim, AXES, strict=False):
            if size.dim_param:
                size.dim_param = axis if axis == "batch" else f"{tensor.name}_{axis}"
