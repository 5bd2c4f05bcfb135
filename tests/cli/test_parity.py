"""h2g parity with the tiny run and its bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from h2g.cli.main import main

FIGURES = ("heatmap_difference", "equal_pixels", "dice")


def parity(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["parity", *map(str, arguments)])


def test_a_bundle_beside_its_run(tiny_run: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    slide, out = tiny_run.parent / "one.tiff", tmp_path / "out"
    engines = ("--engine", "onnxruntime", "--engine", "tflite", "--precision", "float32")
    result = parity(tiny_run, tiny_bundle, "--slide", slide, *engines, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    onnx, tflite = json.loads(result.stdout)["rows"]
    assert (onnx["model"], onnx["engine"], onnx["device"]) == ("tiny_bundle", "onnxruntime", "CPU")
    assert onnx["heatmap_difference"] < 1e-4
    assert onnx["equal_pixels"] > 0.99
    assert onnx["reason"] == ""
    # The bundle has no files for the other one.
    assert [tflite[name] for name in FIGURES] == [None] * 3
    assert "--format tflite" in tflite["reason"]
    assert pd.read_csv(out / "parity.csv")["engine"].tolist() == ["onnxruntime", "tflite"]
    lines = (out / "parity.md").read_text("utf-8").splitlines()
    cells = [cell.strip() for cell in lines[2].split("|")]
    assert cells[1:5] == ["tiny_bundle", "onnxruntime", "CPU", "float32"]
    assert lines[4].startswith("- tiny_bundle tflite CPU float32: ")
    assert (out / "keras" / "heatmaps" / "one.tiff").is_file()


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        (("tiny_bundle",), "Give the run folder too"),
        (("tiny_run",), "give a bundle too, which this writes: h2g export"),
    ],
)
def test_a_model_that_is_missing(
    request: pytest.FixtureRequest, tiny_run: Path, models: tuple[str, ...], sentence: str
) -> None:
    folders = [request.getfixturevalue(name) for name in models]
    result = parity(*folders, "--slide", tiny_run.parent / "one.tiff")
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_nothing_that_could_be_compared(tiny_run: Path, tiny_bundle: Path) -> None:
    slide = tiny_run.parent / "one.tiff"
    result = parity(tiny_run, tiny_bundle, "--slide", slide, "--engine", "tflite")
    assert result.exit_code == 1
    assert "Nothing could be compared with Keras" in result.stderr
    assert "--format tflite" in result.stdout


def test_a_slide_that_is_missing(tiny_run: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    result = parity(tiny_run, tiny_bundle, "--slide", tmp_path / "gone.svs")
    assert result.exit_code == 1
    assert "gone.svs: no such file" in result.stderr
