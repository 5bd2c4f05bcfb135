from __future__ import annotations

import os
import sys

import numpy as np

from h2g.benchmarking.hardware import this_hardware, versions
from h2g.benchmarking.memory import peak_memory_mib


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


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before = peak_memory_mib()
    block = np.ones(64 << 20, np.uint8)
    held = peak_memory_mib()
    del block
    assert held >= before
    assert peak_memory_mib() > held - 1  # the kernel counts in steps
    assert held > 64
