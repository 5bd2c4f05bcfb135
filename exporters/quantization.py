"""Networks in int8, after training: ranges of activations are measured on calibration samples.

Resizing, the division of raw pixels and softmax stay in float32, and so does every layer that was
measured to lose accuracy in int8 (listed in each function).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import onnx
import onnxruntime.quantization as ort_quantization
import tensorflow as tf
from onnxruntime.quantization.shape_inference import quant_pre_process

from h2g.engines.engine import Feed, as_floats
from h2g.engines.openvino_library import openvino
from h2g.exporters.to_openvino import save_network
from h2g.exporters.tracing import saved_model
from h2g.files import replacing
from h2g.quiet import quiet

# Dense layers stay in float32, and so does the batch norm after them, or the one folded into their
# weights. Its scales differ by orders of magnitude, and int8 has one step per row or tensor.
# Little is lost: convolutions take nearly all the time.
OPENVINO_FLOAT_TYPES = ("Interpolate", "MatMul")
TFLITE_FLOAT_TYPES = ("FULLY_CONNECTED", "MUL", "RESIZE_BILINEAR", "SOFTMAX")
# Convolutions, and the operators between them.
ONNX_INT8_TYPES = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "GlobalAveragePool",
    "MaxPool",
    "Pad",
    "Relu",
    "Reshape",
    "Resize",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
ONNX_WITH_WEIGHTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def quantise_openvino(float_file: Path, path: Path, feeds: Sequence[Feed]) -> None:
    """Writes an OpenVINO network in int8, as ``path`` (.xml) and the .bin beside it.

    Weights of convolutions have one scale per channel. Names, free sizes and ``rt_info`` are those
    of the float32 file. Dense layers stay in float32.
    """
    # nncf reads this at import; without it, nncf reports its use to Google Analytics.
    os.environ["NNCF_CI"] = "1"
    with quiet():
        import nncf  # takes 1.5 seconds, and only int8 needs it

        network = nncf.quantize(
            openvino.Core().read_model(float_file),
            nncf.Dataset(feeds, as_floats),
            # Symmetric activations; "mixed" lost more of a trained MobileNetV2, and gained nothing.
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(feeds),
            # Some networks have no such layers.
            ignored_scope=nncf.IgnoredScope(types=list(OPENVINO_FLOAT_TYPES), validate=False),
        )
    save_network(network, path)


def quantise_onnx(float_file: Path, path: Path, feeds: Sequence[Feed]) -> None:
    """Writes an ONNX network in int8: float32 operators between QuantizeLinear and
    DequantizeLinear, which runtimes fuse.

    Weights of convolutions have one scale per channel. Names, free sizes, properties and opset are
    those of the float32 file. Dense layers, batch norms outside convolutions and the last layer
    stay in float32: with the classifier's head in int8, a trained MobileNetV2 lost 13 % of patch
    accuracy and 0.06 of Dice.
    """
    with tempfile.TemporaryDirectory(prefix="h2g-") as folder:
        prepared, written = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        with quiet():
            # Folds batch norms into convolutions. Symbolic shapes need sympy, and add nothing here.
            quant_pre_process(float_file, prepared, skip_symbolic_shape=True)
            ort_quantization.quantize_static(
                prepared,
                written,
                _Calibration(feeds),
                quant_format=ort_quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(ONNX_INT8_TYPES),
                nodes_to_exclude=_float_nodes(onnx.load(prepared).graph),
                per_channel=True,
                activation_type=ort_quantization.QuantType.QUInt8,
                weight_type=ort_quantization.QuantType.QInt8,
                # 7 bits: on CPUs without VNNI the sum of two 8-bit products saturates.
                reduce_range=True,
            )
        network = onnx.load(written)
    _take_over_names(network, onnx.load(float_file, load_external_data=False))
    onnx.checker.check_model(network)
    with replacing(path) as temporary:
        onnx.save(network, temporary)


def quantise_tflite(model: keras.Model, path: Path, feeds: Sequence[Feed]) -> None:
    """Writes a deployed Keras graph as a TFLite network in int8 with float32 inputs and outputs.

    Weights of convolutions have one scale per channel. The signature and free sizes are those of
    :func:`h2g.exporters.to_tflite.write_tflite`. Dense layers stay in float32: in int8, a trained
    MobileNetV2 with U-Net fell from a Dice of 0.92 to 0.01.
    """
    with saved_model(model) as folder, quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        # One at a time: all of them in float32 would take a gigabyte.
        converter.representative_dataset = lambda: map(as_floats, feeds)
        # The debugger is the converter's only way to keep layers in float32.
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=converter.representative_dataset,
            debug_options=tf.lite.experimental.QuantizationDebugOptions(
                denylisted_ops=list(TFLITE_FLOAT_TYPES)
            ),
        )
        content = debugger.get_nondebug_quantized_model()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


class _Calibration(ort_quantization.CalibrationDataReader):
    """Reader that returns one feed per call, and None after the last."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = map(as_floats, feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def _float_nodes(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that stay in float32.

    They are all nodes before the first convolution, sums with constants (offsets of batch norms)
    and the last layer with weights.
    """
    constants = {tensor.name for tensor in graph.initializer}
    after_convolution: set[str] = set()
    names, last = [], ""
    for node in graph.node:  # in the order of computation
        if node.op_type == "Conv" or after_convolution.intersection(node.input):
            after_convolution.update(node.output)
            if node.op_type == "Add" and constants.intersection(node.input):
                names.append(node.name)
        else:
            names.append(node.name)
        if node.op_type in ONNX_WITH_WEIGHTS:
            last = node.name
    return [*names, last]


def _take_over_names(network: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Restores inputs, outputs, properties and operator sets that the tools have changed."""
    for place in ("input", "output"):
        tensors = getattr(network.graph, place)
        del tensors[:]
        tensors.extend(getattr(original.graph, place))
    network.graph.name = original.graph.name
    del network.metadata_props[:]
    network.metadata_props.extend(original.metadata_props)
    used = {node.domain for node in network.graph.node}
    kept = [each for each in network.opset_import if each.domain in used]
    del network.opset_import[:]
    network.opset_import.extend(kept)
