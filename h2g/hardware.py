"""This machine: processor, cores, memory, GPUs, package versions, and the memory of processes.

No deep-learning library is loaded to tell. psutil and py-cpuinfo answer on every system; the peak
memory of a process is asked of the system where psutil does not know it.
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

# Those that change how fast a network runs, as Linux names them.
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
    """What a measurement was made on.

    Attributes:
        cores: those that this process may use.
        instruction_sets: those of INSTRUCTION_SETS that the system or the processor names. AMX
            and the newest of AVX are named by Linux only.
        memory_gib: RAM of the machine.
        gpu: names of NVIDIA's GPUs.
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
    """The hardware that this process runs on; takes a second at the first call."""
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
    import cpuinfo  # starts a process of its own, so only where it is asked

    found = cpuinfo.get_cpu_info()
    # Where the system lists no flags the processor is asked, and avx512_vnni is avx512vnni.
    flags = {flag.replace("_", "") for flag in found.get("flags", ())}
    name = found.get("brand_raw") or platform.processor() or platform.machine()
    return name, tuple(each for each in INSTRUCTION_SETS if each.replace("_", "") in flags)


def usable_cores() -> int:
    """Cores that this process may use."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # macOS has none
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1


def package_version(package: str) -> str | None:
    """Version of an installed package, None when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Python's version and those of the packages that are installed."""
    found = {name: number for name in VERSIONED if (number := package_version(name))}
    return {"python": platform.python_version(), **found}


# -- GPUs


@cache
def has_onnxruntime_gpu() -> bool:
    """Whether ONNX Runtime's package for NVIDIA's GPUs is installed and finds a GPU."""
    # The package lists its CUDA provider on every machine: the driver is asked too.
    return package_version("onnxruntime-gpu") is not None and cuda_gpus() > 0


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
    """Peak memory of this process in MiB: the largest resident size that it has had."""
    if sys.platform == "darwin":
        return round(_rusage_mib("RUSAGE_SELF"), 1)
    return round(process_peak_mib(psutil.Process()), 1)


def peak_with_children_mib() -> float | None:
    """Peak memory of this process, or of its largest finished child if that is larger, in MiB.

    None on Windows, which forgets a process when it ends.
    """
    if sys.platform == "win32":
        return None
    return max(peak_memory_mib(), round(_rusage_mib("RUSAGE_CHILDREN"), 1))


def process_peak_mib(process: psutil.Process) -> float:
    """The largest resident size that a running process has had, in MiB.

    Windows and Linux keep it; on macOS it is the size now, and the caller asks again and again.

    Raises:
        psutil.Error: the process has ended.
    """
    if sys.platform == "linux":
        return _high_water_mib(process.pid)
    memory = process.memory_info()
    return getattr(memory, "peak_wset", memory.rss) / MIB


def _high_water_mib(pid: int) -> float:
    """VmHWM, which psutil does not read and ``resource`` has for no other running process.

    A child's ``ru_maxrss`` would not do: it starts with what the parent held.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration) as error:  # a process that has just ended has no such line
        raise psutil.NoSuchProcess(pid) from error


def _rusage_mib(who: str) -> float:
    """``ru_maxrss`` in MiB: the only source for children that have ended, and for macOS's peak."""
    import resource  # not on Windows

    usage = resource.getrusage(getattr(resource, who))
    return usage.ru_maxrss / (MIB if sys.platform == "darwin" else 2**10)
