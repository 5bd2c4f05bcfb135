"""Facts of this machine: processor, cores, memory, GPUs, package versions, memory of processes.

No deep-learning library is loaded. psutil and py-cpuinfo work on every system. Where psutil does
not know the peak memory of a process, the system does.
"""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

MIB = 2**20

# Linux's names of the sets that affect the speed of networks.
INSTRUCTION_SETS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "sve",
    "i8mm",
    "bf16",
)
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
VERSIONED = (
    "h2g",
    "numpy",
    "openslide-python",
    "openslide-bin",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "ai-edge-litert",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
)


class Hardware(BaseModel):
    """The machine that a measurement was made on.

    Attributes:
        cores: number of cores that this process may use.
        instruction_sets: the INSTRUCTION_SETS that the system or the processor reports. Only Linux
            reports AMX and the newest AVX sets.
        memory_gib: RAM of the machine.
        gpu: names of the NVIDIA GPUs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    cores: int
    instruction_sets: tuple[str, ...]
    memory_gib: float | None
    gpu: tuple[str, ...]
    system: str

    @property
    def has_bfloat16(self) -> bool:
        return bool(BFLOAT16.intersection(self.instruction_sets))


def this_hardware() -> Hardware:
    """The hardware that this process runs on; the first call takes a second."""
    cpu, instruction_sets = _processor()
    return Hardware(
        cpu=cpu,
        cores=usable_cores(),
        instruction_sets=instruction_sets,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        gpu=_nvidia_gpus(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
    )


@cache
def _processor() -> tuple[str, tuple[str, ...]]:
    """Name and instruction sets of the processor."""
    import cpuinfo  # starts a process of its own, so only on demand

    found = cpuinfo.get_cpu_info()
    # Flags that come from the processor, not the system, lack underscores: avx512vnni.
    flags = {flag.replace("_", "") for flag in found.get("flags", ())}
    name = found.get("brand_raw") or platform.processor() or platform.machine()
    return name, tuple(each for each in INSTRUCTION_SETS if each.replace("_", "") in flags)


def usable_cores() -> int:
    """Number of cores that this process may use."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # macOS has none
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1


def package_version(package: str) -> str | None:
    """Version of a package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages in VERSIONED."""
    found = {name: number for name in VERSIONED if (number := package_version(name))}
    return {"python": platform.python_version(), **found}


# -- GPUs


@cache
def has_onnxruntime_gpu() -> bool:
    """Whether onnxruntime-gpu is installed and there is an NVIDIA GPU."""
    # The package lists its CUDA provider on every machine, so the driver is asked too.
    return package_version("onnxruntime-gpu") is not None and cuda_gpus() > 0


def cuda_gpus() -> int:
    """Number of GPUs that NVIDIA's driver finds; 0 without a driver."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _nvidia_gpus() -> tuple[str, ...]:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    if result.returncode != 0:
        return ()
    return tuple(line.strip() for line in result.stdout.splitlines() if line.strip())


# -- Memory


def peak_memory_mib() -> float:
    """Peak memory (resident size) of this process, in MiB."""
    if sys.platform == "darwin":
        return round(_rusage_mib("RUSAGE_SELF"), 1)
    return round(process_peak_mib(psutil.Process()), 1)


def peak_with_children_mib() -> float | None:
    """Peak memory of this process, or of its largest finished child if that is larger, in MiB.

    None on Windows, which keeps no record of ended processes.
    """
    if sys.platform == "win32":
        return None
    return max(peak_memory_mib(), round(_rusage_mib("RUSAGE_CHILDREN"), 1))


def process_peak_mib(process: psutil.Process) -> float:
    """Peak memory (resident size) of a running process, in MiB.

    On macOS it is the current size, so the caller has to poll.

    Raises:
        psutil.Error: the process has ended.
    """
    if sys.platform == "linux":
        return _high_water_mib(process.pid)
    memory = process.memory_info()
    return getattr(memory, "peak_wset", memory.rss) / MIB


def _high_water_mib(pid: int) -> float:
    """VmHWM in MiB, which neither psutil nor ``resource`` gives for another running process.

    A child's ``ru_maxrss`` is no substitute, because it starts with the parent's memory.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration) as error:  # a process that has just ended has no such line
        raise psutil.NoSuchProcess(pid) from error


def _rusage_mib(who: str) -> float:
    """``ru_maxrss`` in MiB: the only source for ended children, and for the peak on macOS."""
    import resource  # not on Windows

    usage = resource.getrusage(getattr(resource, who))
    return usage.ru_maxrss / (MIB if sys.platform == "darwin" else 2**10)
