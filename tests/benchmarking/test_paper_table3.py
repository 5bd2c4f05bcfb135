from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from h2g.benchmarking.report import write_report
from h2g.benchmarking.row import RowResult
from tests.markdown_text import narrow

TOOL = Path(__file__).parents[2] / "tools" / "paper_table3.py"
# read, tissue, wait, patch, refinement, stitch, write, total
FIRST = (9.0, 1.0, 0.5, 4.0, 1.0, 0.5, 1.0, 8.0)
SECOND = (9.0, 1.0, 0.5, 6.0, 1.0, 0.5, 1.0, 10.0)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOOL, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def test_ours_below_the_papers(
    timed: Callable[..., RowResult], skipped: RowResult, tmp_path: Path
) -> None:
    fast = timed((None,) * 7 + (20.0,), (None,) * 7 + (22.0,), engine="fast")
    write_report([timed(FIRST, SECOND), fast, skipped], tmp_path, chart=False)
    result = run(tmp_path)
    assert result.returncode == 0, result.stderr
    lines = narrow(result.stdout).splitlines()
    assert "| paper | OpenVINO | 57.32 ± 0.20 | 0.75 ± 0.01 | 58.07 ± 0.20 |" in lines
    ours = "| h2g | openvino, CPU, float32 | 7.00 ± 1.41 | 1.00 ± 0.00 | 8.00 ± 1.41 |"
    assert ours in lines
    assert "| h2g | fast, CPU, float32 | – | – | 21.00 ± 1.41 |" in lines
    assert "h2g: Abacus 3, 4 cores; 100 patches, 2 repeats; slide.svs." in lines
    assert "tflite" not in result.stdout


def test_no_benchmark(tmp_path: Path) -> None:
    (tmp_path / "benchmark.csv").write_text(json.dumps({}))
    result = run(tmp_path)
    assert result.returncode == 1
    assert "no such file. Run 'h2g benchmark' to write it." in result.stderr
