"""What a measurement was made on: processor, instruction sets, memory, GPU, package versions."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from h2g.engines.devices import usable_cores, version
from h2g.recipes.base import Frozen

# Of /proc/cpuinfo, those that change how fast a network runs.
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


class Hardware(Frozen):
    """
    Attributes:
        cores: that this process may use.
        instruction_sets: those of INSTRUCTION_SETS; empty where the system does not name them.
        gpu: NVIDIA's, by name.
    """

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
    cpuinfo = _cpuinfo()
    flags = set((cpuinfo.get("flags") or cpuinfo.get("Features") or "").split())
    return Hardware(
        cpu=cpuinfo.get("model name") or platform.processor() or platform.machine(),
        cores=usable_cores(),
        instruction_sets=tuple(name for name in INSTRUCTION_SETS if name in flags),
        memory_gib=_memory_gib(),
        gpu=_nvidia_gpus(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
    )


def versions() -> dict[str, str]:
    """Of the packages that are installed, Python's own first."""
    found = {name: number for name in VERSIONED if (number := version(name))}
    return {"python": platform.python_version(), **found}


def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _nvidia_gpus() -> tuple[str, ...]:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    if result.returncode != 0:
        return ()
    return tuple(line.strip() for line in result.stdout.splitlines() if line.strip())
