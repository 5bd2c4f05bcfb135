"""Runs exported networks with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import onnxruntime

from h2g.bundle import Stage
from h2g.concurrency import several_at_once
from h2g.errors import WrongUseError
from h2g.hardware import has_onnxruntime_gpu, usable_cores
from h2g.inference.engine import PATCH_INPUT, Key, NetworkFiles, in_parts
from h2g.inference.network_files import check_inputs, refinement_inputs, stage_file, unreadable

# The first that the package has. TensorRT comes last: it builds an engine for every new shape, for
# minutes.
GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
# On CPUs one patch a call: what lies between two layers then stays in a core's cache. Batches of 16
# took 1.3 times the CPU seconds.
CPU_CALL_PATCHES = 1
GPU_STREAMS = 2


class OnnxEngine:
    """Networks on a CPU, or on a GPU with the package onnxruntime-gpu; each is loaded when it is
    first used."""

    name = "onnxruntime"

    def __init__(
        self,
        files: NetworkFiles,
        *,
        device: str = "CPU",
        precision: str = "float32",
        batch_size: int = 16,
        streams: int | None = None,
    ) -> None:
        """
        Args:
            files: .onnx.
            precision: that of the files.
            batch_size: patches a call on a GPU.
            streams: calls at once, each on one core of a CPU; None takes one for each core.
        Raises:
            WrongUseError: a device that is not here.
        """
        refuse_device(device)
        self.device = device
        self.precision = precision
        self._files = files
        self._call_patches = CPU_CALL_PATCHES if device == "CPU" else batch_size
        self._streams = streams or (usable_cores() if device == "CPU" else GPU_STREAMS)
        self._executor = ThreadPoolExecutor(self._streams)

    @property
    def has_refinement(self) -> bool:
        return self._files.refinement is not None

    def load(self) -> None:
        """Loads all networks now."""
        if self._files.patch is not None:
            _ = self._patch
        if self._files.refinement is not None:
            _ = self._refinement

    def classify(self, patches: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) uint8 or float32 of 0..255 -> (N, C) float32, softmax; on one thread."""
        fixed = self._patch.get_inputs()[0].shape[0]
        size = fixed if isinstance(fixed, int) else self._call_patches
        return in_parts(self._run_patch, patches, size=size, classes=self._files.class_count)

    def classify_each(
        self, batches: Iterable[tuple[Key, np.ndarray]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        _ = self._patch  # opened here, once, and not by each of the threads

        def start(patches: np.ndarray) -> Callable[[], np.ndarray]:
            return self._executor.submit(self.classify, patches).result

        return several_at_once(start, batches, ahead=self._streams)

    def refine(self, image: np.ndarray, heatmap: np.ndarray | None) -> np.ndarray:
        """(H, W, 3) uint8 and (h, w, C - 1) float32 -> (P, P, C) float32, softmax."""
        shapes = {each.name: each.shape for each in self._refinement.get_inputs()}
        inputs = refinement_inputs(shapes, image.astype(np.float32), heatmap)
        return self._refinement.run(None, inputs)[0][0]

    def _run_patch(self, patches: np.ndarray) -> np.ndarray:
        return self._patch.run(None, {PATCH_INPUT: patches.astype(np.float32, copy=False)})[0]

    @cached_property
    def _patch(self) -> onnxruntime.InferenceSession:
        return self._open("patch", threads=1)

    @cached_property
    def _refinement(self) -> onnxruntime.InferenceSession:
        return self._open("refinement", threads=usable_cores())

    def _open(self, stage: Stage, *, threads: int) -> onnxruntime.InferenceSession:
        file = stage_file(self._files, stage)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        try:
            session = onnxruntime.InferenceSession(
                file, options, providers=[*gpu_providers(self.device), "CPUExecutionProvider"]
            )
        except Exception as error:  # the library's errors have no common class but this
            raise unreadable(file, "ONNX Runtime", error) from error
        check_inputs(file, stage, [each.name for each in session.get_inputs()])
        if self.device != "CPU" and session.get_providers()[0] == "CPUExecutionProvider":
            raise WrongUseError(
                "ONNX Runtime cannot use the GPU here: its CUDA libraries do not load. "
                "pip install 'onnxruntime-gpu[cuda,cudnn]', or give --device CPU."
            )
        return session


def refuse_device(device: str) -> None:
    """WrongUseError when ONNX Runtime has nothing for such a device."""
    if device != "CPU" and not gpu_providers(device):
        raise WrongUseError(
            f"ONNX Runtime finds no {device}: the package onnxruntime is for CPUs. "
            "pip install onnxruntime-gpu in its place, or give --device CPU."
        )


def found_devices() -> dict[str, str]:
    """The CPU, and a GPU where both the package and the driver have one, with its provider."""
    gpus = gpu_providers("GPU") if has_onnxruntime_gpu() else []
    return {"CPU": "", **({"GPU": gpus[0]} if gpus else {})}


def gpu_providers(device: str) -> list[str]:
    """What runs a device other than the CPU, as far as the package knows."""
    if device == "CPU":
        return []
    available = onnxruntime.get_available_providers()
    return [name for name in GPU_PROVIDERS if name in available][:1]
