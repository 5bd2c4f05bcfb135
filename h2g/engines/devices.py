"""What this machine can compute with, asked without loading a deep-learning library."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from importlib import metadata


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def has_onnxruntime_gpu() -> bool:
    """Whether ONNX Runtime's package for NVIDIA's GPUs is installed and finds a GPU."""
    # The package lists its CUDA provider on every machine: the driver is asked too.
    return version("onnxruntime-gpu") is not None and cuda_gpus() > 0


def cuda_gpus() -> int:
    """How many GPUs NVIDIA's driver has; 0 without a driver."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
