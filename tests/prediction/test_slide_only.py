"""A design without patch classifier, from slides to segmentations in every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner

from h2g.cli.main import main
from h2g.exporters.export import export_model
from h2g.exporters.export_request import ExportRequest
from h2g.folders.bundle import open_bundle
from h2g.folders.cohort import read_cohort
from h2g.folders.predictions import SlideRequest
from h2g.folders.run import Run, start_run
from h2g.prediction.find_model import find_model
from h2g.prediction.predict_slides import predict_slides
from h2g.recipes.reading import load_recipe
from h2g.stages.evaluate_run import evaluate_run
from h2g.stages.run_chain import train_run
from tests.fast_program import need_fast

SIDE_PX = 64


@pytest.fixture(scope="module")
def run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    overrides = ("preprocessing.profile=fast", f"refinement.input_px={SIDE_PX}")
    recipe = load_recipe("otsu", overrides)
    out = tmp_path_factory.mktemp("slide_only") / "run"
    run = start_run(out, read_cohort(phantom_cohort), recipe)
    train_run(run)
    return run


@pytest.fixture(scope="module")
def slide(run: Run) -> SlideRequest:
    return SlideRequest(run.cohort.split("test")[0].slide)


def test_it_is_scored_without_a_heatmap(run: Run) -> None:
    evaluation = evaluate_run(run, "test")
    assert evaluation.variants == ("refined",)
    assert not (run.path / "heatmaps").exists()
    for scores in evaluation.slides:
        # All tissue is found: nearly all tumour, and much else.
        assert scores.score("refined").recall > 0.8
        assert scores.score("refined").precision < 0.8
        labels = cv2.imread(str(run.path / f"evaluation/test/labels/{scores.slide}.png"), -1)
        assert labels.shape == (SIDE_PX, SIDE_PX)
    document = json.loads((run.path / "evaluation/test/scores.json").read_text())
    assert document["patchwise"] is None
    # A second evaluation computes nothing.
    again = evaluate_run(run, "test", open_network=no_network)
    assert again.slides == evaluation.slides


def test_every_engine_agrees_with_keras(run: Run, slide: SlideRequest, tmp_path: Path) -> None:
    predict_slides(find_model(run.path), [slide], tmp_path / "keras")
    formats = ("onnx", "openvino", "tflite")
    bundle, _ = export_model(run.path, tmp_path / "bundle", ExportRequest(formats))
    assert set(bundle.card.networks) == {"refinement"}
    expected = segmentation(tmp_path / "keras", slide)
    assert 0.1 < expected.mean() < 0.9
    for engine in ("onnxruntime", "openvino", "tflite"):
        out = tmp_path / engine
        predict_slides(find_model(bundle.path, engine=engine), [slide], out)
        np.testing.assert_array_equal(segmentation(out, slide), expected)
        assert not (out / "heatmaps").exists()
        (row,) = pd.read_csv(out / "summary.csv").to_dict("records")
        assert (row["status"], row["patches"]) == ("ok", 0)


@pytest.mark.fast
def test_fast_agrees_with_keras(run: Run, slide: SlideRequest, tmp_path: Path) -> None:
    need_fast("4.9")
    predict_slides(find_model(run.path), [slide], tmp_path / "keras")
    export_model(run.path, tmp_path / "bundle", ExportRequest(("fast",)))
    model = find_model(tmp_path / "bundle", engine="fast")
    predict_slides(model, [slide], tmp_path / "fast")
    expected = segmentation(tmp_path / "keras", slide)
    np.testing.assert_array_equal(segmentation(tmp_path / "fast", slide), expected)
    files = open_bundle(tmp_path / "bundle").card.exports[0].files
    assert not [name for name in files if "patch" in name]


def test_it_is_benchmarked(run: Run, slide: SlideRequest, tmp_path: Path) -> None:
    arguments = ["benchmark", str(run.path), "--slide", str(slide.path), "--repeats", "2"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "times"), "--json"])
    assert result.exit_code == 0, result.stderr
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["status"], row["engine"], row["patches"]) == ("ok", "keras", 0), row["reason"]
    assert row["mean_s"]["refinement"] > 0


def no_network(run: Run, name: str) -> NoReturn:
    pytest.fail("a network was opened")


def segmentation(folder: Path, slide: SlideRequest) -> np.ndarray:
    return tifffile.imread(folder / "segmentations" / f"{slide.name}.tiff")
