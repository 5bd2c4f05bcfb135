from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from h2g.cli.main import main
from h2g.cohort import read_cohort
from h2g.recipes.recipe import validate_recipe
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
    result = predict(run, cohort, "--out", out)
    assert result.exit_code == 2
    assert "holds predictions of another model" in result.stderr
    assert not (out / "summary.csv").exists()


@pytest.mark.parametrize(
    ("model", "slide", "options", "sentence"),
    [
        ("nowhere", "cohort.csv", [], "nowhere: not a model. Give a run folder"),
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
