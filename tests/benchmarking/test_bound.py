from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from h2g.benchmarking.bare_parts import measure_bare
from h2g.benchmarking.benchmark import Protocol, row_settings
from h2g.benchmarking.row import Choice

TOOL = Path(__file__).parents[2] / "tools" / "bound.py"


def test_the_bare_parts_of_a_slide(run: Path, protocol: Protocol) -> None:
    choice = Choice(model=run, engine="keras", device="CPU", precision="float32")
    bare = measure_bare(row_settings(choice, protocol))
    assert 92 <= bare.patches <= 130
    parts = [bare.tissue_s, bare.decode_s, bare.patch_s, bare.refinement_s, bare.writing_s]
    assert all(part > 0 for part in parts)
    assert bare.cpu_s == pytest.approx(sum(parts))
    assert bare.decode_patches_per_s > 100
    assert bare.inference_patches_per_s > 1


def test_the_bound_of_adaptive_prediction(run: Path, protocol: Protocol) -> None:
    """A random network answers nearly the same everywhere, so that few patches matter."""
    choice = Choice(model=run, engine="keras", device="CPU", precision="float32")
    adaptive = choice.model_copy(update={"patches": "adaptive:0.9"})
    every, some = (measure_bare(row_settings(each, protocol)) for each in (choice, adaptive))
    assert some.patches < 0.5 * every.patches
    assert some.patch_s < every.patch_s
    assert some.decode_s < every.decode_s


def test_the_tool_on_a_small_slide(bundle: Path, slide: Path) -> None:
    command = [sys.executable, TOOL, bundle, slide, "--engine", "onnxruntime", "--json"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert 92 <= found["patches"] <= 130
    assert found["bound_s"] < found["command_s"]
    assert found["ratio"] == pytest.approx(found["bound_s"] / found["command_s"], abs=0.01)
    assert 0 < found["first_patch_s"] < found["command_s"]
    assert found["command_peak_mib"] > 50
    assert found["fast_s"] is None


def test_the_tool_says_why_it_cannot(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, TOOL, run, tmp_path / "gone.svs"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 1
    assert "gone.svs: no such file" in result.stderr
    assert "Traceback" not in result.stderr
