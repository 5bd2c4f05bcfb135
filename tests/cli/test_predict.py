from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from h2g.cli.main import main


@pytest.fixture
def run(tiny_run: Path) -> Path:
    """A run folder whose networks have random weights."""
    return tiny_run


@pytest.fixture
def cohort(run: Path) -> Path:
    """A table of a pink slide for training, one for testing, and one to test that is no slide."""
    return run.parent / "cohort.csv"


def predict(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def test_a_cohorts_split_with_a_slide_that_fails(
    run: Path, cohort: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = predict(run, cohort, "--split", "test", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert [(row["slide"], row["status"]) for row in rows] == [("two", "ok"), ("broken", "failed")]
    assert rows[1]["mpp"] is None
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert list(rows[0]) == list(summary.columns)
    assert rows[0]["tumour_mm2"] == summary["tumour_mm2"][0]
    assert (
        "broken.svs: OpenSlide does not know this format" in caplog.text
    )  # the handler that the test run put in
    assert "h2g: 1 of 2 slides could not be segmented (broken)" in result.stderr
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (record["recipe"], record["engine"]) == ("tiny", "keras")
    assert set(record["sha256"]) == {"patch/model.keras", "refinement/model.keras"}


def test_one_slide_as_a_table_then_another(run: Path, cohort: Path, tmp_path: Path) -> None:
    one, two = cohort.parent / "one.tiff", cohort.parent / "two.tiff"
    result = predict(run, one, "--out", tmp_path, "--workers", "1", "--batch-size", "4")
    assert result.exit_code == 0, result.output
    assert "one" in result.stdout
    for file in ("segmentations/one.tiff", "geojson/one.geojson", "overlays/one.png"):
        assert (tmp_path / file).is_file()
    result = predict(run, two, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "summary.csv")["slide"].tolist() == ["one", "two"]


def test_another_models_predictions_are_refused(run: Path, cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(json.dumps({"recipe": "other", "sha256": {}}))
    (out / "summary.csv").write_text("slide,status\n")
    result = predict(run, cohort, "--out", out)
    assert result.exit_code == 2
    assert "holds predictions of another model" in result.stderr
    assert (out / "summary.csv").read_text() == "slide,status\n"


@pytest.mark.parametrize(
    ("model", "slide", "options", "sentence"),
    [
        ("nowhere", "cohort.csv", [], "nowhere: there is no such folder. Give a run folder"),
        ("run", "one.tiff", ["--engine", "openvino"], "--format openvino --out BUNDLE"),
        ("run", "one.tiff", ["--precision", "int8"], "run folders are computed in float32"),
        ("run", "gone.svs", [], "gone.svs: no such file or folder"),
        ("run", "one.tiff", ["--split", "test"], "--split needs a table"),
        ("run", "cohort.csv", ["--split", "val"], "no slides of split val"),
        ("run", "one.tiff", ["--mpp", "0"], "--mpp"),
        ("run", "one.tiff", ["--engine", "abacus"], "abacus"),
    ],
)
def test_wrong_use(
    run: Path,
    cohort: Path,
    tmp_path: Path,
    model: str,
    slide: str,
    options: list[str],
    sentence: str,
) -> None:
    models = {"run": run, "nowhere": tmp_path / "nowhere"}
    result = predict(models[model], cohort.parent / slide, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_untrained_run(run: Path, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("recipe.yaml", "cohort.csv"):
        (tmp_path / "run" / name).write_bytes((run / name).read_bytes())
    result = predict(tmp_path / "run", cohort, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "the patch and refinement network is not trained yet. Train it first" in result.stderr


def test_an_output_that_cannot_be_a_folder(run: Path, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = predict(run, cohort, "--out", tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert "part of this path is a file, not a folder" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("engine", ["auto", "openvino", "onnxruntime"])
def test_a_bundle_needs_no_tensorflow(
    tiny_bundle: Path, cohort: Path, tmp_path: Path, engine: str
) -> None:
    code = (
        "import sys\nfrom h2g.cli.main import main\ntry:\n    main()\nexcept SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print([name for name in ('tensorflow', 'keras', 'onnx', 'torch') if name in sys.modules])"
    )
    arguments = ["predict", tiny_bundle, cohort.parent / "two.tiff", "--out", tmp_path / "out"]
    options = ["--engine", engine, "--device", "CPU"]
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments), *options],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["engine"] == {"auto": "openvino"}.get(engine, engine)
    assert (record["device"], record["precision"]) == ("CPU", "float32")


def test_a_bundle_segments_as_its_run_does(
    run: Path, tiny_bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    for model, out in ((run, "run"), (tiny_bundle, "bundle")):
        result = predict(model, cohort.parent / "two.tiff", "--out", tmp_path / out)
        assert result.exit_code == 0, result.output
    by_keras, by_engine = (
        tifffile.imread(tmp_path / out / "heatmaps" / "two.tiff") for out in ("run", "bundle")
    )
    np.testing.assert_allclose(by_engine, by_keras, atol=1e-4)


def test_a_changed_bundle_writes_nothing(tiny_bundle: Path, cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "changed")
    with (tmp_path / "changed" / "patch.onnx").open("ab") as file:
        file.write(b"0")
    result = predict(tmp_path / "changed", cohort.parent / "two.tiff", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "patch.onnx: changed since it was exported" in result.stderr
    assert not (tmp_path / "out").exists()


def test_slides_of_odd_names(run: Path, tmp_path: Path) -> None:
    """Names that are no UTF-8, no plain CSV, no formula's and no markup's all get their row."""
    slides, out = tmp_path / "slides", tmp_path / "out[" / "x]"
    slides.mkdir()
    odd = ["z", '=1;"u", t', "line\nbreak", "x[bold] :smile: p|q $a$"]
    names = [*odd, os.fsdecode(b"gr\xfcn")]
    for name in names:
        shutil.copy(run.parent / "one.tiff", slides / f"{name}.tiff")
    result = predict(run, slides, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    rows = {row["slide"]: row for row in json.loads(result.stdout)}
    assert {*rows} == {*odd, "gr%FCn"}
    summary = pd.read_csv(out / "summary.csv", encoding="utf-8")
    assert {*summary["slide"]} == {*rows}
    assert rows["gr%FCn"]["file"].endswith("/gr\\udcfcn.tiff")
    for name in rows:
        for file in (f"overlays/{name}.png", f"geojson/{name}.geojson", f"patches/{name}.csv"):
            assert (out / file).is_file()
    before = (out / "run.json").read_text()
    result = predict(run, slides, "--out", out)
    assert result.exit_code == 0, result.output
    assert "x[bold] :smile: p|q $a$" in result.stdout
    assert (out / "run.json").read_text() == before  # nothing was predicted again
