"""A deployed Keras graph to ONNX."""

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

    Input and output names are the graph's; sizes that are free there are free here.

    Args:
        opset: 13 to 18.
        metadata: goes into the file's properties, which runtimes can show.
    Raises:
        WrongUseError: an opset that this does not write.
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
    """tf2onnx stops where an optimisation fails.

    By itself it goes on without that, and to be able to, copies all weights before each of some
    thirty: three times the time.
    """
    before = os.environ.get(CATCH_ERRORS)
    os.environ[CATCH_ERRORS] = "FALSE"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CATCH_ERRORS]
        else:
            os.environ[CATCH_ERRORS] = before


def _name_free_sizes(graph: onnx.GraphProto) -> None:
    """``batch`` and, say, ``input_0_image_height`` in place of numbered unknowns."""
    for tensor in (*graph.input, *graph.output):
        for size, axis in zip(tensor.type.tensor_type.shape.dim, AXES, strict=False):
            if size.dim_param:
                size.dim_param = axis if axis == "batch" else f"{tensor.name}_{axis}"
