"""Prediction from a bundle in a Python with only the base install, so without TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

from h2g.hardware import has_onnxruntime_gpu
from tests.engines.small_networks import SmallNetworks, write_bundle
from tests.prediction.drawn_slides import draw, save_tiff

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".base" / "bin" / "python"
REQUIRED = os.environ.get("H2G_REQUIRE_BASE") == "1"


@pytest.fixture(scope="module", autouse=True)
def base_environment() -> None:
    if not PYTHON.exists():
        reason = "there is no .base environment; run 'make base-environment'"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ellipse of tissue."""
    corners = cv2.ellipse2Poly((320, 260), (250, 200), 0, 0, 360, 10)
    image = draw((640, 512), tissue=np.array(corners))
    return save_tiff(tmp_path_factory.mktemp("slides") / "slide.tiff", image, 1.0)


@pytest.mark.parametrize("package", ["tensorflow", "keras", "onnx", "ai_edge_litert"])
def test_the_packages_of_training_and_export_are_missing(package: str) -> None:
    result = subprocess.run([PYTHON, "-c", f"import {package}"], capture_output=True, text=True)
    assert f"No module named '{package}'" in result.stderr


@pytest.mark.parametrize(
    ("format", "engine", "runs"),
    [
        ("openvino", "auto", "openvino"),
        ("onnx", "auto", "onnxruntime" if has_onnxruntime_gpu() else "openvino"),
        ("onnx", "onnxruntime", "onnxruntime"),
    ],
)
def test_a_bundle_segments_a_slide(
    small_networks: SmallNetworks, slide: Path, tmp_path: Path, format: str, engine: str, runs: str
) -> None:
    bundle = write_bundle(tmp_path / "bundle", small_networks, formats=(format,))
    out = tmp_path / "out"
    result = h2g("predict", bundle, slide, "--engine", engine, "--out", out, "--json")
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)
    assert row["status"] == "ok"
    assert 100 < row["patches"] < 300
    assert json.loads((out / "run.json").read_text())["engine"] == runs
    assert pd.read_csv(out / "summary.csv")["slide"].tolist() == ["slide"]
    heatmap = tifffile.imread(out / "heatmaps" / "slide.tiff", key=0)
    assert heatmap.shape[:2] == (16, 20)
    assert 0 < heatmap.max() <= 1
    segmentation = tifffile.imread(out / "segmentations" / "slide.tiff", key=0)
    assert segmentation.shape == (256, 320)
    for file in ("geojson/slide.geojson", "patches/slide.csv", "overlays/slide.png"):
        assert (out / file).stat().st_size > 0


def test_commands_of_an_extra_name_it(slide: Path, tmp_path: Path) -> None:
    result = h2g("models")
    assert (result.returncode, result.stderr) == (
        2,
        "h2g: 'h2g models' needs packages that are not installed: pip install 'h2g[train]'.\n",
    )


def test_an_engine_that_is_an_extra(
    small_networks: SmallNetworks, slide: Path, tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "bundle", small_networks, formats=("tflite",))
    result = h2g("predict", bundle, slide, "--out", tmp_path / "out")
    assert result.returncode == 2
    assert "pip install 'h2g[tflite]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_doctor_lists_missing_packages() -> None:
    result = h2g("doctor", "--json")
    assert result.returncode == 0, result.stderr
    rows = {row["engine"]: row for row in json.loads(result.stdout)["engines"]}
    assert (rows["keras"]["status"], rows["tflite"]["status"]) == ("missing", "missing")
    assert rows["keras"]["note"] == "pip install 'h2g[train]'"
    assert (rows["openvino"]["status"], rows["onnxruntime"]["status"]) == ("ok", "ok")


def h2g(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [PYTHON.with_name("h2g"), *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)
