"""Runs OpenVINO files (.xml with .bin) and .onnx files with OpenVINO, on a CPU or an Intel GPU."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from h2g.concurrency import several_at_once
from h2g.engines.engine import (
    Feed,
    Key,
    Probe,
    Shape,
    check_file,
    one_by_one,
    pixel_inputs,
    unreadable,
)
from h2g.engines.openvino_library import openvino
from h2g.errors import WrongUseError

# With one row per request, the data between two layers stay in a core's cache. Batches took 1.3
# times the CPU time. Batches of varying size took twice the time in bfloat16.
CPU_REQUEST_ROWS = 1
# Precisions by their names in compiled graphs.
PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}
LAYERS_OF_WEIGHTS = {"convolution", "fullyconnected", "matmul", "fully_connected", "gemm"}


class OpenVinoNetwork:
    """A compiled graph. If it was opened for many, it computes several requests at once.

    Pixels are passed as uint8. A second graph for float32 pixels is compiled on first use.
    """

    engine = "openvino"

    def __init__(
        self, file: Path, *, device: str, hint: str, options: dict[str, Any], rows: int | None
    ) -> None:
        """
        Args:
            hint: OpenVINO's name of the precision to compute in.
            options: further options of the compiler.
            rows: rows per request; None if the network is not opened for many.
        """
        self.device = device
        self._file = file
        self._options = {"INFERENCE_PRECISION_HINT": hint, **options}
        self._rows = rows
        self._core = openvino.Core()
        self.inputs: dict[str, Shape] = {
            each.any_name: tuple(
                None if side.is_dynamic else side.get_length() for side in each.partial_shape
            )
            for each in self._read().inputs
        }
        # Each holds up to two values: for uint8 and for float32 pixels.
        self._compiled = cache(self._compile)
        self._single_request = cache(self._new_single_request)
        self._parallel_requests = cache(self._new_parallel_requests)
        self._compiled(True)

    @property
    def precision(self) -> str:
        return _computing_precision(self._compiled(True))

    def run(self, inputs: Feed) -> np.ndarray:
        """See h2g.engines.engine.Network."""
        if self._rows is None:
            return self._run_one(inputs)
        return self._start(inputs)()

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        if self._rows is None:
            return one_by_one(self._run_one, batches)
        return several_at_once(self._start, batches, ahead=1)

    def _run_one(self, inputs: Feed) -> np.ndarray:
        request = self._single_request(self._are_bytes(inputs))
        contiguous = {name: np.ascontiguousarray(values) for name, values in inputs.items()}
        request.infer(contiguous, share_inputs=True)
        return request.get_output_tensor().data.copy()

    def _start(self, inputs: Feed) -> Callable[[], np.ndarray]:
        (values,) = inputs.values()
        requests = self._parallel_requests(self._are_bytes(inputs))
        answers = np.empty((len(values), *requests.answer_shape), np.float32)
        requests.start(values, answers)
        return partial(requests.finish, requests.started, answers)

    def _are_bytes(self, inputs: Feed) -> bool:
        return all(inputs[name].dtype == np.uint8 for name in pixel_inputs(self.inputs))

    def _new_single_request(self, bytes_in: bool) -> openvino.InferRequest:
        return self._compiled(bytes_in).create_infer_request()

    def _new_parallel_requests(self, bytes_in: bool) -> Requests:
        return Requests(self._compiled(bytes_in))

    def _read(self) -> openvino.Model:
        try:
            return self._core.read_model(self._file)
        except RuntimeError as error:
            raise unreadable(self._file, "OpenVINO", error) from error

    def _compile(self, bytes_in: bool) -> openvino.CompiledModel:
        model = self._read()
        try:
            if self._rows and model.inputs[0].partial_shape[0].is_dynamic:
                # With a fixed shape, compilation happens now and for this shape.
                model.reshape([self._rows, *list(model.inputs[0].partial_shape)[1:]])
            if bytes_in:
                steps = openvino.preprocess.PrePostProcessor(model)
                for name in pixel_inputs(self.inputs):
                    steps.input(name).tensor().set_element_type(openvino.Type.u8)
                model = steps.build()
            return self._core.compile_model(model, self.device, self._options)
        except RuntimeError as error:
            raise unreadable(self._file, "OpenVINO", error) from error


class Requests:
    """Infer requests of a network with one input, started and finished in the same order.

    All are started from one thread. Two threads whose first use of OpenVINO's Python binding
    coincides can deadlock.
    """

    def __init__(self, network: openvino.CompiledModel) -> None:
        self.answer_shape = tuple(network.outputs[0].shape[1:])
        self.started = self._finished = 0
        self._input = network.inputs[0].any_name
        self._size = network.inputs[0].shape[0]
        # Twice as many as are computed at once, so that no request waits for this thread.
        count = 2 * network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._idle = [network.create_infer_request() for _ in range(count)]
        self._running: deque[tuple[openvino.InferRequest, np.ndarray]] = deque()

    def start(self, values: np.ndarray, answers: np.ndarray) -> None:
        """Starts requests for (N, ...) values of the network's type; waits while none is idle.

        Args:
            answers: (N, ...) float32, filled as requests finish.
        """
        values = np.ascontiguousarray(values)
        for first in range(0, len(values), self._size):
            if not self._idle:
                self._finish_oldest()
            part = values[first : first + self._size]
            request = self._idle[-1]
            request.start_async({self._input: self._padded(part)}, share_inputs=True)
            self._running.append((self._idle.pop(), answers[first : first + self._size]))
            self.started += 1

    def finish(self, number: int, answers: np.ndarray) -> np.ndarray:
        """``answers``, once the first ``number`` started requests have finished."""
        while self._finished < number:
            self._finish_oldest()
        return answers

    def _padded(self, values: np.ndarray) -> np.ndarray:
        missing = self._size - len(values)
        return np.pad(values, ((0, missing), *[(0, 0)] * (values.ndim - 1))) if missing else values

    def _finish_oldest(self) -> None:
        request, answers = self._running[0]
        try:
            request.wait()
        except RuntimeError:
            self._release_oldest()
            raise
        answers[:] = request.get_output_tensor().data[: len(answers)]
        # Ctrl-C may come before this line; the request is then waited for again.
        self._release_oldest()

    def _release_oldest(self) -> None:
        self._idle.append(self._running.popleft()[0])
        self._finished += 1


def open_network(
    file: Path,
    *,
    device: str = "CPU",
    precision: str = "float32",
    many: bool = False,
    batch_size: int = 16,
    streams: int | None = None,
    request_rows: int | None = None,
) -> OpenVinoNetwork:
    """Opens an .xml or .onnx file.

    Args:
        precision: precision of the file, or ``bfloat16`` to compute a float32 file in bfloat16.
        many: as many rows as possible per second; otherwise single inputs with least delay.
        batch_size: rows per request on a GPU.
        streams: requests computed at once; None leaves it to OpenVINO.
        request_rows: rows per request; None takes the best for the device.
    Raises:
        ModelError: the file is missing or cannot be read.
        WrongUseError: the device, or bfloat16, is not available here.
    """
    check_device(device)
    check_precision(device, precision)
    check_file(file)
    options: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT" if many else "LATENCY"}
    if many and streams:
        options = {"NUM_STREAMS": streams}
    rows = None
    if many:
        rows = request_rows or (CPU_REQUEST_ROWS if device == "CPU" else batch_size)
    hint = _precision_hint(device, precision)
    return OpenVinoNetwork(file, device=device, hint=hint, options=options, rows=rows)


def found_devices() -> dict[str, str]:
    """The processor and the GPUs that OpenVINO finds, with their names.

    Never call this in a process that holds TensorFlow. It loads OpenCL drivers, and a driver with
    its own LLVM, such as pocl, crashes there.
    """
    core = openvino.Core()
    return {name: core.get_property(name, "FULL_DEVICE_NAME") for name in core.available_devices}


def has_bfloat16(device: str) -> bool:
    return "BF16" in openvino.Core().get_property(device, "OPTIMIZATION_CAPABILITIES")


def probe() -> Probe:
    bfloat16 = ("bfloat16",) if has_bfloat16("CPU") else ()
    return Probe(found_devices(), ("float32", *bfloat16, "float16", "int8"))


def check_device(device: str) -> None:
    """WrongUseError if OpenVINO finds no such device."""
    # The CPU is always there.
    if device != "CPU" and device not in {name.partition(".")[0] for name in found_devices()}:
        raise WrongUseError(
            f"OpenVINO finds no {device} here; it only uses Intel's GPUs. Give --device CPU."
        )


def check_precision(device: str, precision: str) -> None:
    """WrongUseError if a device does not compute in a precision."""
    if precision == "bfloat16" and not has_bfloat16(device):
        raise WrongUseError(
            f"This {device} does not compute in bfloat16 (CPUs with AVX512-BF16 or AMX do). "
            "Give --precision float32."
        )


def _precision_hint(device: str, precision: str) -> str:
    """OpenVINO's name of the precision to compute in.

    It is always set. By default OpenVINO takes bfloat16 on CPUs that have it, and float16 on GPUs.
    """
    if precision == "bfloat16":
        return "bf16"
    # CPUs read float16 files and compute in float32.
    return "f16" if precision == "float16" and device != "CPU" else "f32"


def _computing_precision(network: openvino.CompiledModel) -> str:
    """The precision that most layers with weights compute in."""
    layers = [operation.rt_info for operation in network.get_runtime_model().get_ops()]
    counts = Counter(
        _layer_precision(info)
        for info in layers
        if info["layerType"].astype(str).lower() in LAYERS_OF_WEIGHTS
    )
    return counts.most_common(1)[0][0] if counts else "float32"


def _layer_precision(info: Any) -> str:
    # On CPUs the kernel's name tells, e.g. brgconv_avx512_f32. The layer's own precision is that of
    # its stored weights, which may be float16 although the kernel computes in float32.
    kernel = info["primitiveType"].astype(str).rpartition("_")[2].lower()
    return PRECISIONS.get(kernel) or PRECISIONS.get(info["runtimePrecision"].astype(str), "float32")
