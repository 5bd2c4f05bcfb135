from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from h2g.engines import status as engine_status
from h2g.engines.devices import cuda_gpus, usable_cores, version
from h2g.engines.status import Probe


def test_cores_are_those_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    assert usable_cores() == len(allowed)
    code = (
        f"import os; os.sched_setaffinity(0, [{min(allowed)}])\n"
        "from h2g.engines.devices import usable_cores; print(usable_cores())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "1", result.stderr


def test_gpus_are_those_of_the_driver() -> None:
    assert (cuda_gpus() > 0) == Path("/dev/nvidia0").exists()


def test_versions_of_packages() -> None:
    import numpy

    assert version("numpy") == numpy.__version__
    assert version("no-such-package") is None


@pytest.mark.parametrize(
    ("code", "note"),
    [
        ("import os; os.abort()", "crashed with signal 6 while loading"),
        ("raise SystemExit('no such device')", "no such device"),
        ("raise SystemExit(3)", "ended with 3"),
        ("import time; time.sleep(60)", "did not answer within 1 s"),
    ],
)
def test_an_engine_that_fails_is_a_row(code: str, note: str) -> None:
    timeout_s = 1 if "sleep" in code else 60
    status = engine_status.engine_status("openvino", child=("-c", code), timeout_s=timeout_s)
    assert (status.status, status.note) == ("failed", note)
    assert status.versions == {"openvino": version("openvino")}


def test_an_engine_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe = Probe((("numpy",), ("no-such-package", "nor-this")), "pip install it", dict)
    monkeypatch.setitem(engine_status.PROBES, "abacus", probe)
    status = engine_status.engine_status("abacus")
    assert (status.status, status.note) == ("missing", "pip install it")


def test_the_child_answers_in_one_line() -> None:
    command = [sys.executable, "-m", "h2g.engines.status", "openvino"]
    result = subprocess.run(command, capture_output=True, text=True)
    answer = json.loads(result.stdout)
    assert "CPU" in answer["devices"]
    assert answer["precisions"][0] == "float32"
