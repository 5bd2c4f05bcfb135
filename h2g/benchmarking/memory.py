"""The most memory that a process held at a time."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_memory_mib(*, with_children: bool = False) -> float:
    """Of this process, or of the larger of it and its largest finished child."""
    own = _own_peak_mib()
    if not with_children:
        return round(own, 1)
    child = resident_mib(resource.getrusage(resource.RUSAGE_CHILDREN))
    return round(max(own, child), 1)


def resident_mib(usage: resource.struct_rusage) -> float:
    """The largest resident size of a finished process."""
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _own_peak_mib() -> float:
    # ru_maxrss starts with what the parent held when it started this process; VmHWM with nothing.
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resident_mib(resource.getrusage(resource.RUSAGE_SELF))
