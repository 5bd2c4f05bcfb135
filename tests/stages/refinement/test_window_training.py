"""A refinement network that sees windows: trained, scored, predicted and exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tifffile

import h2g
from h2g.annotations.truth import true_labels
from h2g.errors import H2GError, TrainingError, WrongUseError
from h2g.exporters.export import export_model
from h2g.exporters.export_request import ExportRequest
from h2g.folders.cohort import read_cohort
from h2g.folders.predictions import SlideRequest
from h2g.folders.run import Run, start_run
from h2g.prediction.find_model import find_model
from h2g.prediction.predict_slides import predict_slides
from h2g.recipes.reading import load_recipe
from h2g.recipes.recipe import Recipe
from h2g.results.slide_state import SlideState
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.slides.tiff_files import read_heatmap
from h2g.stages.evaluate_run import evaluate_run
from h2g.stages.refinement.refine import refine
from h2g.stages.refinement.refinement_stage import REFINEMENT
from h2g.stages.run_chain import reuse_stage, train_run
from h2g.stages.run_network import open_run_network
from h2g.training.losses import SoftDice, slide_dice
from tests.small_run import RECIPE


def in_windows(**changes: object) -> Recipe:
    """The small recipe with windows of 1 mm and 32 px; the slides have 2 mm."""
    settings = {"field": "windows", "window_mm": 1.0, "input_px": 32, **changes}
    refinement = RECIPE.refinement.model_copy(update=settings)
    return RECIPE.model_copy(update={"refinement": refinement})


@pytest.fixture(scope="module")
def run(trained_run: Run, phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("windows") / "run"
    run = start_run(folder, read_cohort(phantom_cohort), in_windows())
    for stage in ("patch", "heatmaps"):
        reuse_stage(run, trained_run.path / stage)
    train_run(run)
    return run


def state(run: Run, name: str) -> SlideState:
    row = next(row for row in run.cohort.slides if row.name == name)
    with open_slide(row.slide, mpp=row.mpp) as slide:
        plane = read_low_resolution(slide, run.recipe.low_resolution)
    before = SlideState(plane, run.recipe.class_names)
    return before.with_heatmap(read_heatmap(run.heatmap_file(name)))


def test_an_epoch_is_scored_on_whole_slides(run: Run) -> None:
    history = pd.read_csv(run.stage_folder("refinement") / "history.csv")
    assert len(history) == 2
    best = history.loc[history["val_loss"].idxmin()]
    (row,) = run.cohort.split("val")
    refined = refine(state(run, row.name), open_run_network(run, REFINEMENT))
    assert refined.field is not None
    height, width = refined.field.shape[:2]
    assert (width, height) == refined.plane.windows.size_px
    truth = tf.one_hot(true_labels(row, run.recipe, refined.plane.frame, (width, height))[None], 2)
    predicted = tf.convert_to_tensor(refined.field)[None]
    assert float(SoftDice()(truth, predicted)) == pytest.approx(best["val_loss"], abs=1e-4)
    assert float(slide_dice(truth, predicted)[0]) == pytest.approx(best["val_slide_dice"], abs=1e-3)


def test_it_is_evaluated_on_whole_slides(run: Run) -> None:
    evaluation = evaluate_run(run, "test")
    assert evaluation.size_px == (1024, 1024)  # the output covers a window, not the slide
    assert evaluation.final_variant == "refined"
    assert len(evaluation.slides) == 2


def test_every_engine_blends_the_same_windows(run: Run, tmp_path: Path) -> None:
    request = ExportRequest(("onnx", "openvino"))
    bundle, _ = export_model(run.path, tmp_path / "bundle", request)
    windows = bundle.card.preprocessing.low_resolution.windows
    assert windows is not None
    assert (windows.side_px, windows.mpp, windows.overlap) == (32, 31.25, 0.5)
    assert "window of 1 mm" in bundle.card.networks["refinement"].sees
    assert "windows of 1 mm at 31.25 um/px" in (bundle.path / "MODEL_CARD.md").read_text()
    slide = run.cohort.split("test")[0].slide
    expected = h2g.load_model(run.path).predict(slide).labels
    assert 0 < expected.mean() < 1
    for engine in ("onnxruntime", "openvino"):
        model = h2g.load_model(bundle.path, engine=engine)
        np.testing.assert_array_equal(model.predict(slide).labels, expected)


def test_labels_have_the_size_of_the_plane(run: Run, tmp_path: Path) -> None:
    slide = run.cohort.split("test")[0].slide
    (row,) = predict_slides(find_model(run.path), [SlideRequest(slide)], tmp_path / "out")
    assert row["status"] == "ok", row["reason"]
    labels = tifffile.imread(tmp_path / "out" / "segmentations" / f"{slide.stem}.tiff")
    assert min(labels.shape) >= 1024


def test_fast_is_refused(run: Run, tmp_path: Path) -> None:
    request = ExportRequest(("fast",), accept_preprocessing_change=True)
    with pytest.raises(WrongUseError, match="sees windows .* train with refinement.field: whole"):
        export_model(run.path, tmp_path / "bundle", request)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"window_mm": 50.0, "input_px": 64}, "larger than every training slide"),
        ({"window_mm": 0.02, "input_px": 64}, "the finest training slide has 1 um/px"),
    ],
)
def test_windows_that_fit_no_slide_are_told_before_training(
    phantom_cohort: Path, tmp_path: Path, changes: dict, reason: str
) -> None:
    run = start_run(tmp_path / "run", read_cohort(phantom_cohort), in_windows(**changes))
    with pytest.raises(TrainingError, match=reason):
        train_run(run)
    assert not (run.path / "patch").exists()


def test_a_recipe_sets_windows_in_one_place() -> None:
    windows = "preprocessing.low_resolution.windows={side_px: 32, mpp: 8, overlap: 0}"
    with pytest.raises(H2GError, match="set refinement.field: windows"):
        load_recipe("demo", (windows,))
    with pytest.raises(H2GError, match="overlap"):
        load_recipe("demo", ("refinement.overlap=0.8",))
