"""Runs .onnx files with ONNX Runtime, on a CPU, or on a GPU with the package onnxruntime-gpu."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from h2g.concurrency import several_at_once
from h2g.engines.engine import (
    Feed,
    Key,
    Probe,
    Shape,
    as_floats,
    check_file,
    in_parts,
    one_by_one,
    unreadable,
)
from h2g.errors import WrongUseError
from h2g.hardware import has_onnxruntime_gpu, usable_cores

# The first one that the package has is used. TensorRT comes last, because it needs minutes to build
# an engine for every new shape.
GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
# With one row per call, the data between two layers stay in a core's cache. Batches of 16 took 1.3
# times the CPU time.
CPU_CALL_ROWS = 1
GPU_STREAMS = 2


class OnnxNetwork:
    """An ONNX Runtime session. If it was opened for many, it runs ``streams`` calls at once."""

    engine = "onnxruntime"

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        device: str,
        precision: str,
        call_rows: int | None,
        streams: int,
    ) -> None:
        """
        Args:
            call_rows: rows per call; None passes inputs on as given.
        """
        self.device = device
        self.precision = precision
        self.inputs: dict[str, Shape] = {
            each.name: tuple(side if isinstance(side, int) else None for side in each.shape)
            for each in session.get_inputs()
        }
        self._session = session
        self._call_rows = next(iter(self.inputs.values()))[0] or call_rows
        self._streams = streams
        self._executor = ThreadPoolExecutor(streams)

    def run(self, inputs: Feed) -> np.ndarray:
        """See h2g.engines.engine.Network; runs on the calling thread."""
        if self._call_rows is None:
            return self._run(inputs)
        return in_parts(self._run, inputs, size=self._call_rows)

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        if self._streams == 1:
            return one_by_one(self.run, batches)

        def start(inputs: Feed) -> Callable[[], np.ndarray]:
            return self._executor.submit(self.run, inputs).result

        return several_at_once(start, batches, ahead=self._streams)

    def _run(self, inputs: Feed) -> np.ndarray:
        return self._session.run(None, as_floats(inputs))[0]


def open_network(
    file: Path,
    *,
    device: str = "CPU",
    precision: str = "float32",
    many: bool = False,
    batch_size: int = 16,
    streams: int | None = None,
) -> OnnxNetwork:
    """Opens an .onnx file.

    Args:
        precision: precision of the file.
        many: several calls at once, each on one core of a CPU; otherwise one call on all cores.
        batch_size: rows per call on a GPU.
        streams: calls at once; None takes one per core, or GPU_STREAMS on a GPU.
    Raises:
        ModelError: the file is missing or cannot be read.
        WrongUseError: the device is not available here.
    """
    check_device(device)
    check_file(file)
    call_rows, stream_count = None, 1
    if many:
        call_rows = CPU_CALL_ROWS if device == "CPU" else batch_size
        stream_count = streams or (usable_cores() if device == "CPU" else GPU_STREAMS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1 if many else usable_cores()
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(
            file, options, providers=[*gpu_providers(device), "CPUExecutionProvider"]
        )
    except Exception as error:  # the library's errors share no other class
        raise unreadable(file, "ONNX Runtime", error) from error
    if device != "CPU" and session.get_providers()[0] == "CPUExecutionProvider":
        raise WrongUseError(
            "ONNX Runtime cannot use the GPU here, because its CUDA libraries do not load. Run pip "
            "install 'onnxruntime-gpu[cuda,cudnn]', or give --device CPU."
        )
    return OnnxNetwork(
        session, device=device, precision=precision, call_rows=call_rows, streams=stream_count
    )


def check_device(device: str) -> None:
    """WrongUseError if ONNX Runtime has no provider for the device."""
    if device != "CPU" and not gpu_providers(device):
        raise WrongUseError(
            f"ONNX Runtime finds no {device}, because the package onnxruntime is for CPUs. Install "
            "onnxruntime-gpu in its place, or give --device CPU."
        )


def found_devices() -> dict[str, str]:
    """The CPU and, if both the package and the driver have one, the GPU with its provider."""
    gpus = gpu_providers("GPU") if has_onnxruntime_gpu() else []
    return {"CPU": "", **({"GPU": gpus[0]} if gpus else {})}


def probe() -> Probe:
    devices = found_devices()
    note = "For NVIDIA GPUs, install onnxruntime-gpu in place of onnxruntime"
    return Probe(devices, ("float32", "int8"), note="" if "GPU" in devices else note)


def gpu_providers(device: str) -> list[str]:
    """The package's provider for a device, if any; none for the CPU."""
    if device == "CPU":
        return []
    available = onnxruntime.get_available_providers()
    return [name for name in GPU_PROVIDERS if name in available][:1]
