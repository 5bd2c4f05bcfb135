"""Runs exported networks with OpenVINO: its own files (.xml with .bin), and ONNX."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from functools import cached_property, partial
from typing import Any

import numpy as np

from h2g.bundle import Stage
from h2g.concurrency import several_at_once
from h2g.errors import WrongUseError
from h2g.inference.engine import IMAGE_INPUT, PATCH_INPUT, Key, NetworkFiles
from h2g.inference.network_files import check_inputs, refinement_inputs, stage_file, unreadable
from h2g.inference.openvino_library import openvino
from h2g.inference.openvino_requests import Requests

# On CPUs one patch a request: what lies between two layers then stays in a core's cache. Batches
# took 1.3 times the CPU seconds, and batches of any size 2 times the time in bfloat16.
CPU_REQUEST_PATCHES = 1
# By the names of the compiled graph.
PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}
LAYERS_OF_WEIGHTS = {"convolution", "fullyconnected", "matmul", "fully_connected", "gemm"}


class OpenVinoEngine:
    """Networks on a CPU, or on a GPU by Intel; each is compiled when it is first used."""

    name = "openvino"

    def __init__(
        self,
        files: NetworkFiles,
        *,
        device: str = "CPU",
        precision: str = "float32",
        batch_size: int = 16,
        streams: int | None = None,
        request_patches: int | None = None,
    ) -> None:
        """
        Args:
            files: .xml or .onnx.
            precision: ``bfloat16`` computes float32 files so; the others are those of the files.
            batch_size: patches a request on a GPU.
            streams: requests that are computed at once; None leaves it to OpenVINO.
            request_patches: patches a request; None takes what suits the device.
        Raises:
            WrongUseError: a device, or bfloat16, that is not here.
        """
        refuse_device(device)
        if precision == "bfloat16":
            refuse_missing_bfloat16(device)
        self.device = device
        self._files = files
        self._hint = _precision_hint(device, precision)
        self._streams = streams
        self._request_patches = request_patches or (
            CPU_REQUEST_PATCHES if device == "CPU" else batch_size
        )
        self._core = openvino.Core()

    @property
    def precision(self) -> str:
        network = self._refinement if self._files.patch is None else self._patch_of_bytes.network
        return _computing_precision(network)

    @property
    def has_refinement(self) -> bool:
        return self._files.refinement is not None

    def load(self) -> None:
        """Loads all networks now."""
        if self._files.patch is not None:
            _ = self._patch_of_bytes
        if self._files.refinement is not None:
            _ = self._refinement

    def classify(self, patches: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) uint8 or float32 of 0..255 -> (N, C) float32, softmax."""
        return self._start(patches)()

    def classify_each(
        self, batches: Iterable[tuple[Key, np.ndarray]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return several_at_once(self._start, batches, ahead=1)

    def refine(self, image: np.ndarray, heatmap: np.ndarray | None) -> np.ndarray:
        """(H, W, 3) uint8 and (h, w, C - 1) float32 -> (P, P, C) float32, softmax."""
        shapes = {
            each.any_name: each.shape if each.partial_shape.is_static else ()
            for each in self._refinement.inputs
        }
        inputs = refinement_inputs(shapes, image, heatmap)
        request = self._refinement_request
        request.infer(inputs, share_inputs=True)
        return request.get_output_tensor().data[0].copy()

    def _start(self, patches: np.ndarray) -> Callable[[], np.ndarray]:
        requests = self._patch_of_bytes if patches.dtype == np.uint8 else self._patch_of_floats
        probabilities = np.empty((len(patches), self._files.class_count), np.float32)
        requests.start(patches, probabilities)
        return partial(requests.finish, requests.started, probabilities)

    @cached_property
    def _patch_of_bytes(self) -> Requests:
        return self._patch(bytes_input=PATCH_INPUT)

    @cached_property
    def _patch_of_floats(self) -> Requests:
        return self._patch(bytes_input=None)

    def _patch(self, *, bytes_input: str | None) -> Requests:
        options: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT"}
        if self._streams:
            options = {"NUM_STREAMS": self._streams}
        size = self._request_patches
        network = self._compile("patch", bytes_input, options, patches=size)
        return Requests(network, PATCH_INPUT)

    @cached_property
    def _refinement(self) -> openvino.CompiledModel:
        return self._compile("refinement", IMAGE_INPUT, {"PERFORMANCE_HINT": "LATENCY"})

    @cached_property
    def _refinement_request(self) -> openvino.InferRequest:
        return self._refinement.create_infer_request()

    def _compile(
        self,
        stage: Stage,
        bytes_input: str | None,
        options: dict[str, Any],
        *,
        patches: int | None = None,
    ) -> openvino.CompiledModel:
        """
        Args:
            bytes_input: the input that takes uint8 and is cast inside.
            patches: a request, where the file leaves it free.
        """
        file = stage_file(self._files, stage)
        try:
            model = self._core.read_model(file)
            check_inputs(file, stage, [each.any_name for each in model.inputs])
            if patches and model.inputs[0].partial_shape[0].is_dynamic:
                # A fixed shape is compiled at once, for itself.
                model.reshape([patches, *list(model.inputs[0].partial_shape)[1:]])
            if bytes_input:
                steps = openvino.preprocess.PrePostProcessor(model)
                steps.input(bytes_input).tensor().set_element_type(openvino.Type.u8)
                model = steps.build()
            options = {"INFERENCE_PRECISION_HINT": self._hint, **options}
            return self._core.compile_model(model, self.device, options)
        except RuntimeError as error:
            raise unreadable(file, "OpenVINO", error) from error


def found_devices() -> dict[str, str]:
    """The processor and the GPUs that OpenVINO finds, with their names.

    Not in a process that holds TensorFlow: this loads OpenCL drivers, and one that holds LLVM of
    its own, as pocl does, crashes there.
    """
    core = openvino.Core()
    return {name: core.get_property(name, "FULL_DEVICE_NAME") for name in core.available_devices}


def has_bfloat16(device: str) -> bool:
    return "BF16" in openvino.Core().get_property(device, "OPTIMIZATION_CAPABILITIES")


def refuse_device(device: str) -> None:
    """WrongUseError when OpenVINO finds no such device."""
    # The CPU is always there.
    if device != "CPU" and device not in {name.partition(".")[0] for name in found_devices()}:
        raise WrongUseError(
            f"OpenVINO finds no {device} here; the GPUs that it runs on are Intel's. "
            "Give --device CPU."
        )


def refuse_missing_bfloat16(device: str) -> None:
    """WrongUseError when a device does not compute in bfloat16."""
    if not has_bfloat16(device):
        raise WrongUseError(
            f"This {device} does not compute in bfloat16 (CPUs with AVX512-BF16 or AMX do). "
            "Give --precision float32."
        )


def _precision_hint(device: str, precision: str) -> str:
    """Set always: by itself OpenVINO takes bfloat16 on CPUs that have it, and float16 on GPUs."""
    if precision == "bfloat16":
        return "bf16"
    # CPUs read float16 files and compute in float32.
    return "f16" if precision == "float16" and device != "CPU" else "f32"


def _computing_precision(network: openvino.CompiledModel) -> str:
    """What most layers with weights compute in."""
    layers = [operation.rt_info for operation in network.get_runtime_model().get_ops()]
    counts = Counter(
        _layer_precision(info)
        for info in layers
        if info["layerType"].astype(str).lower() in LAYERS_OF_WEIGHTS
    )
    return counts.most_common(1)[0][0] if counts else "float32"


def _layer_precision(info: Any) -> str:
    # The kernel's name on CPUs, e.g. brgconv_avx512_f32. The layer's own precision is that of its
    # stored weights there, which may be float16 where the kernel is not.
    kernel = info["primitiveType"].astype(str).rpartition("_")[2].lower()
    return PRECISIONS.get(kernel) or PRECISIONS.get(info["runtimePrecision"].astype(str), "float32")
