from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from h2g.cli.main import main
from h2g.inference.devices import version

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
    assert rows["openvino"]["versions"] == {"openvino": version("openvino")}
    assert rows["fast"]["status"] in {"ok", "missing", "failed"}
    assert rows["fast"]["status"] == "ok" or rows["fast"]["note"]


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
    for word in (*ENGINES, "OpenSlide", "instruction sets", version("keras") or "keras"):
        assert word in result.stdout
