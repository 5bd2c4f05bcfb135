"""Runs OpenVINO's files (.xml with .bin) and ONNX's: on a CPU, or on a GPU by Intel."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from h2g.concurrency import several_at_once
from h2g.engines.engine import Feed, Key, Probe, Shape, check_file, pixel_inputs, unreadable
from h2g.engines.openvino_library import openvino
from h2g.errors import WrongUseError

# On CPUs one row per request: what lies between two layers then stays in a core's cache. Batches
# took 1.3 times the CPU seconds, and batches of any size 2 times the time in bfloat16.
CPU_REQUEST_ROWS = 1
# By the names of the compiled graph.
PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}
LAYERS_OF_WEIGHTS = {"convolution", "fullyconnected", "matmul", "fully_connected", "gemm"}


class OpenVinoNetwork:
    """A compiled graph. One that was opened for many computes several requests at once.

    Pixels go in as bytes; a graph that takes them as float32 is compiled when it is first needed.
    """

    engine = "openvino"

    def __init__(
        self, file: Path, *, device: str, hint: str, options: dict[str, Any], rows: int | None
    ) -> None:
        """
        Args:
            hint: OpenVINO's name of the precision to compute in.
            options: of the compiler.
            rows: per request; None for a network that is not opened for many.
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
        # One of each for pixels as bytes, and for pixels as float32.
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
                # A fixed shape is compiled at once, for itself.
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

    All are started from one thread, because two that first use OpenVINO's Python binding at once
    can wait for each other for ever.
    """

    def __init__(self, network: openvino.CompiledModel) -> None:
        self.answer_shape = tuple(network.outputs[0].shape[1:])
        self.started = self._finished = 0
        self._input = network.inputs[0].any_name
        self._size = network.inputs[0].shape[0]
        # Twice what is computed at once, so that no request waits for this thread.
        count = 2 * network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._idle = [network.create_infer_request() for _ in range(count)]
        self._running: deque[tuple[openvino.InferRequest, np.ndarray]] = deque()

    def start(self, values: np.ndarray, answers: np.ndarray) -> None:
        """Starts (N, ...) of the network's own type; waits while no request is idle.

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
        """``answers`` when the first ``number`` requests that were started are finished."""
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
            self._take_off_oldest()
            raise
        answers[:] = request.get_output_tensor().data[: len(answers)]
        # Not when Ctrl-C comes before: then it is waited for once more.
        self._take_off_oldest()

    def _take_off_oldest(self) -> None:
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
    """
    Args:
        file: .xml or .onnx.
        precision: ``bfloat16`` computes float32 files so; the others are those of the files.
        many: as many rows as possible per second; else one input as soon as possible.
        batch_size: rows per request on a GPU.
        streams: requests that are computed at once; None leaves it to OpenVINO.
        request_rows: rows per request; None takes what suits the device.
    Raises:
        ModelError: the file is not there or cannot be read.
        WrongUseError: a device, or bfloat16, that is not here.
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

    Not in a process that holds TensorFlow: this loads OpenCL drivers, and one that holds LLVM of
    its own, as pocl does, crashes there.
    """
    core = openvino.Core()
    return {name: core.get_property(name, "FULL_DEVICE_NAME") for name in core.available_devices}


def has_bfloat16(device: str) -> bool:
    return "BF16" in openvino.Core().get_property(device, "OPTIMIZATION_CAPABILITIES")


def probe() -> Probe:
    bfloat16 = ("bfloat16",) if has_bfloat16("CPU") else ()
    return Probe(found_devices(), ("float32", *bfloat16, "float16", "int8"))


def check_device(device: str) -> None:
    """WrongUseError when OpenVINO finds no such device."""
    # The CPU is always there.
    if device != "CPU" and device not in {name.partition(".")[0] for name in found_devices()}:
        raise WrongUseError(
            f"OpenVINO finds no {device} here; the GPUs that it runs on are Intel's. "
            "Give --device CPU."
        )


def check_precision(device: str, precision: str) -> None:
    """WrongUseError when a device does not compute in a precision."""
    if precision == "bfloat16" and not has_bfloat16(device):
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
