from __future__ import annotations

import json
import subprocess
import sys

import pytest

from h2g.engines import status as engine_status
from h2g.engines.specs import EngineSpec
from h2g.hardware import package_version


@pytest.mark.parametrize(
    ("code", "note"),
    [
        ("import os; os.abort()", "crashed with signal 6 while loading"),
        ("raise SystemExit('no such device')", "no such device"),
        ("raise SystemExit(3)", "ended with code 3"),
        ("import time; time.sleep(60)", "did not answer within 1 s"),
    ],
)
def test_an_engine_that_fails_is_reported(code: str, note: str) -> None:
    timeout_s = 1 if "sleep" in code else 60
    status = engine_status.engine_status("openvino", child=("-c", code), timeout_s=timeout_s)
    assert (status.status, status.note) == ("failed", note)
    assert status.versions == {"openvino": package_version("openvino")}


def test_the_status_says_which_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = EngineSpec(
        name="abacus",
        module="h2g.engines.abacus",
        formats=("onnx",),
        precisions=("float32",),
        packages=(("numpy",), ("no-such-package", "nor-this")),
        install="pip install it",
    )
    monkeypatch.setitem(engine_status.ENGINES, "abacus", spec)
    status = engine_status.engine_status("abacus")
    assert (status.status, status.note) == ("missing", "pip install it")
    assert status.versions == {"numpy": package_version("numpy")}


def test_the_child_answers_in_one_line() -> None:
    command = [sys.executable, "-m", "h2g.engines.status", "openvino"]
    result = subprocess.run(command, capture_output=True, text=True)
    answer = json.loads(result.stdout)
    assert "CPU" in answer["devices"]
    assert answer["precisions"][0] == "float32"
