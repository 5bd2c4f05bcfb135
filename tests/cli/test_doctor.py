from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from h2g.cli.main import main
from h2g.engines import fast_process
from h2g.engines.engine import Probe
from h2g.hardware import package_version

ENGINES = ["keras", "onnxruntime", "openvino", "tflite", "fast"]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_engine_is_a_row(report: dict[str, Any]) -> None:
    assert [row["engine"] for row in report["engines"]] == ENGINES
    rows = {row["engine"]: row for row in report["engines"]}
    for name in ENGINES[:-1]:
        assert rows[name]["status"] == "ok", rows[name]
        assert "CPU" in rows[name]["devices"]
        assert rows[name]["precisions"][0] == "float32"
    assert rows["openvino"]["versions"] == {"openvino": package_version("openvino")}
    assert rows["fast"]["status"] in {"ok", "missing", "failed"}
    assert rows["fast"]["status"] == "ok" or rows["fast"]["note"]


# -- FAST, of which several may be here


def look_at_fast(folder: Path, monkeypatch: pytest.MonkeyPatch, *versions: str) -> Probe:
    """What doctor finds in a folder .fast with programs that tell these versions."""
    monkeypatch.delenv("H2G_FAST", raising=False)
    monkeypatch.setattr(sys, "prefix", str(folder / ".venv"))
    monkeypatch.setenv("PATH", str(folder))
    for number in versions:
        runner = folder / ".fast" / number / "bin" / "runPipeline"
        runner.parent.mkdir(parents=True)
        runner.write_text(f"#!/bin/sh\necho v{number}\n")
        runner.chmod(0o755)
    return fast_process.probe()


def test_every_fast_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = look_at_fast(tmp_path, monkeypatch, "4.9.2", "4.12.0", "4.15.0", "4.15.1")
    assert answer.versions == {"FAST": "4.9.2, 4.15.1"}
    assert answer.status == "ok"
    runners = [f"{tmp_path}/.fast/{each}/bin/runPipeline" for each in ("4.15.1", "4.15.0")]
    lines = answer.note.splitlines()
    assert lines[:2] == [
        f"4.15.1, tested, for bundles of FAST 4.15: {runners[0]}",
        f"4.15.0, for bundles of FAST 4.15 (tested: 4.15.1): {runners[1]}",
    ]
    assert lines[2].startswith("4.12.0, not tested with h2g (tested: 4.9.2, 4.15.1): ")
    assert lines[3].startswith("4.9.2, tested, for bundles of FAST 4.9: ")
    monkeypatch.setenv("H2G_FAST", runners[1])
    answer = fast_process.probe()
    assert answer.versions == {"FAST": "4.15.0"}
    assert answer.note.startswith("$H2G_FAST is set, so only the FAST that it names is used.")


def test_no_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = look_at_fast(tmp_path, monkeypatch)
    assert answer.status == "missing"
    assert "pip install pyfast==4.9.2" in answer.note
    assert "pip install pyfast==4.15.1" in answer.note


def test_only_a_fast_that_runs_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = look_at_fast(tmp_path, monkeypatch, "4.5.0", "4.12.0")
    assert answer.status == "failed"
    assert "4.12.0, not tested with h2g" in answer.note
    assert "4.5.0, too old for h2g" in answer.note


def test_the_machine(report: dict[str, Any]) -> None:
    assert report["cores"] >= 1
    assert report["cpu"]
    assert isinstance(report["instruction_sets"], list)
    assert report["openslide"].count(".") == 2
    assert report["extras"]["train"] is True
    bfloat16 = {"avx512_bf16", "amx_bf16"}.intersection(report["instruction_sets"])
    openvino = next(row for row in report["engines"] if row["engine"] == "openvino")
    assert bool(bfloat16) <= ("bfloat16" in openvino["precisions"])


def test_a_table_for_people() -> None:
    """As its own process: it loads no deep-learning library itself."""
    code = (
        "import sys\nfrom h2g.cli.main import main\ntry:\n    main(['doctor'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = ('tensorflow', 'keras', 'openvino', 'onnxruntime', 'ai_edge_litert')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"
    for word in (*ENGINES, "OpenSlide", "instruction sets", package_version("keras") or "keras"):
        assert word in result.stdout
