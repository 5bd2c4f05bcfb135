from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from h2g.cli.main import main
from h2g.cohort import read_cohort
from h2g.recipes.reading import validate_recipe
from h2g.runs import start_run
from h2g.slides.writing import write_pyramid

RECIPE = {
    "name": "tiny",
    "description": "both stages, untrained",
    "preprocessing": {
        "patch": {"size_px": 32, "mpp": 1.0},
        "low_resolution": {"min_side_px": 256},
    },
    "patch": {"options": {"alpha": 0.35}, "weights": "none"},
    "refinement": {"input_px": 32, "options": {"filters": [4, 8]}},
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of a pink slide for training, one for testing, and one to test that is no slide."""
    folder = tmp_path_factory.mktemp("cohort")
    image = np.full((420, 500, 3), 255, np.uint8)
    cv2.ellipse(image, (250, 210), (200, 150), 0, 0, 360, (220, 130, 180), -1)
    for name in ("one.tiff", "two.tiff"):
        write_pyramid(folder / name, image, mpp=1.0, tile_px=256, compression="jpeg")
    (folder / "broken.svs").write_text("no slide")
    (folder / "a.geojson").touch()
    table = folder / "cohort.csv"
    table.write_text(
        "slide,annotation,split\none.tiff,a.geojson,train\ntwo.tiff,a.geojson,test\n"
        "broken.svs,a.geojson,test\n"
    )
    return table


@pytest.fixture(scope="module")
def run(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose networks have random weights."""
    from h2g.models.registry import build_patch_model, build_refinement_model

    recipe = validate_recipe(RECIPE, source="tiny")
    run = start_run(tmp_path_factory.mktemp("runs") / "run", read_cohort(cohort), recipe)
    networks = {
        "patch": build_patch_model("mobilenet_v2", size_px=32, options={"alpha": 0.35}),
        "refinement": build_refinement_model("unet", input_px=32, options={"filters": [4, 8]}),
    }
    for stage, network in networks.items():
        run.stage_folder(stage).mkdir()
        network.save(run.model_file(stage))
    return run.path


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
    assert "broken.svs: not a slide" in caplog.text  # the handler that the test run put in
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
        ("run", "one.tiff", ["--precision", "int8"], "a run folder is computed in float32"),
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
    assert "a part of this path is a file, not a folder" in result.stderr
    assert "Traceback" not in result.output


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    """The run's networks as ONNX files, beside it."""
    from h2g.bundle import Export, write_card
    from h2g.exporters.source import deployed_patch, deployed_refinement_of, open_source
    from h2g.exporters.to_onnx import write_onnx
    from h2g.files import file_sha256

    source = open_source(run)
    folder = run.parent / "bundle"
    graphs = {"patch": deployed_patch(source), "refinement": deployed_refinement_of(source)}
    for stage, graph in graphs.items():
        write_onnx(graph, folder / f"{stage}.onnx")
    names = {stage: f"{stage}.onnx" for stage in graphs}
    sha256 = {name: file_sha256(folder / name) for name in names.values()}
    export = Export(format="onnx", precision="float32", networks=names, files=sha256)
    write_card(folder, source.card.model_copy(update={"exports": (export,)}))
    return folder


@pytest.mark.parametrize("engine", ["auto", "openvino", "onnxruntime"])
def test_a_bundle_needs_no_tensorflow(
    bundle: Path, cohort: Path, tmp_path: Path, engine: str
) -> None:
    code = (
        "import sys\nfrom h2g.cli.main import main\ntry:\n    main()\nexcept SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print([name for name in ('tensorflow', 'keras', 'onnx', 'torch') if name in sys.modules])"
    )
    arguments = ["predict", bundle, cohort.parent / "two.tiff", "--out", tmp_path / "out"]
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
    run: Path, bundle: Path, cohort: Path, tmp_path: Path
) -> None:
    for model, out in ((run, "run"), (bundle, "bundle")):
        result = predict(model, cohort.parent / "two.tiff", "--out", tmp_path / out)
        assert result.exit_code == 0, result.output
    by_keras, by_engine = (
        tifffile.imread(tmp_path / out / "heatmaps" / "two.tiff") for out in ("run", "bundle")
    )
    np.testing.assert_allclose(by_engine, by_keras, atol=1e-4)


def test_a_changed_bundle_writes_nothing(bundle: Path, cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "changed")
    with (tmp_path / "changed" / "patch.onnx").open("ab") as file:
        file.write(b"0")
    result = predict(tmp_path / "changed", cohort.parent / "two.tiff", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "patch.onnx: changed since it was exported" in result.stderr
    assert not (tmp_path / "out").exists()
