from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from h2g.hardware import (
    cuda_gpus,
    package_version,
    peak_memory_mib,
    peak_with_children_mib,
    process_peak_mib,
    this_hardware,
    usable_cores,
    versions,
)


def test_this_machine() -> None:
    machine = this_hardware()
    assert machine.cpu
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert machine.memory_gib is None or machine.memory_gib > 0.5
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        assert "sse4_2" in machine.instruction_sets


def test_versions_are_those_in_use() -> None:
    found = versions()
    assert found["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "openslide-python" in found


def test_the_peak_stays_when_memory_is_freed() -> None:
    before = peak_memory_mib()
    block = np.ones(64 << 20, np.uint8)
    held = peak_memory_mib()
    del block
    assert held >= before
    assert peak_memory_mib() > held - 1  # the kernel counts in steps
    assert held > 64


def test_cores_are_those_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    assert usable_cores() == len(allowed)
    code = (
        f"import os; os.sched_setaffinity(0, [{min(allowed)}])\n"
        "from h2g.hardware import usable_cores; print(usable_cores())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "1", result.stderr


def test_gpus_are_those_of_the_driver() -> None:
    assert (cuda_gpus() > 0) == Path("/dev/nvidia0").exists()


def test_versions_of_packages() -> None:
    assert package_version("numpy") == np.__version__
    assert package_version("no-such-package") is None


def test_the_peak_of_another_process() -> None:
    code = "block = bytearray(80 << 20); del block; print('ready', flush=True); input()"
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = psutil.Process(child.pid)
        peak = process_peak_mib(process)
        child.communicate("\n")
    assert 80 < peak < 160
    with pytest.raises(psutil.Error):
        process_peak_mib(process)
    assert peak_with_children_mib() >= max(80, peak_memory_mib())
