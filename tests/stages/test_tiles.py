"""A tile-segmentation network with cells and margins, from training to every engine."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import h2g
from h2g.annotations.truth import true_labels
from h2g.data.patch_index import read_patch_index
from h2g.folders.bundle import open_bundle
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, start_run
from h2g.models.deployment import load_network
from h2g.prediction.model import Prediction
from h2g.recipes.patch import PatchStage
from h2g.recipes.preprocessing import PatchSettings, Preprocessing
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage
from h2g.slides.reading import describe_slide, open_slide, plan_patches
from h2g.stages.run_chain import train_run

CELLS, SIZE_PX, MARGIN_PX = 12, 64, 8
RECIPE = Recipe(
    name="tiles",
    description="A small tile U-Net with margins and its refinement.",
    seed=3,
    preprocessing=Preprocessing(patch=PatchSettings(mpp=2.0, size_px=SIZE_PX, margin_px=MARGIN_PX)),
    patch=PatchStage(
        model="tile_unet",
        options={"filters": [4, 8]},
        weights="none",
        answer="mask",
        cells=CELLS,
        batch_size=8,
        steps_per_epoch=20,
        validation_steps=1,
        epochs=1,
        learning_rate=1e-2,
        workers=2,
    ),
    refinement=RefinementStage(
        options={"filters": [4, 8]},
        input_px=64,
        batch_size=2,
        accumulation_steps=1,
        epochs=1,
        patience=None,
        batch_norm_momentum=0.9,
    ),
)


@pytest.fixture(scope="module")
def run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tiles") / "run"
    run = start_run(folder, read_cohort(phantom_cohort), RECIPE)
    train_run(run)
    return run


@pytest.fixture(scope="module")
def slide(run: Run) -> Path:
    return run.cohort.split("test")[0].slide


@pytest.fixture(scope="module")
def reference(run: Run, slide: Path) -> Prediction:
    return h2g.load_model(run.path).predict(slide)


@pytest.fixture(scope="module")
def bundle(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tile_bundle") / "bundle"
    h2g.export(run.path, formats=("onnx", "openvino", "tflite"), out=folder)
    return folder


def test_a_patch_is_a_square_of_cells_in_the_heatmap(reference: Prediction, slide: Path) -> None:
    with open_slide(slide) as opened:
        plan = plan_patches(opened.info, RECIPE.preprocessing.patch)
    heatmap = reference.heatmap
    assert heatmap.values.shape == (plan.rows * CELLS, plan.cols * CELLS, 2)
    # 48 px of 2 um are a patch without its margins; 4 px are a cell, 8 pixels of level 0.
    assert heatmap.step_level0 == pytest.approx(8.0)
    squares = heatmap.values[..., 1].reshape(plan.rows, CELLS, plan.cols, CELLS)
    classified = heatmap.values.any(axis=2).reshape(squares.shape)
    assert (classified.all(axis=(1, 3)) == classified.any(axis=(1, 3))).all()
    assert squares.std(axis=(1, 3)).max() > 0.01  # cells of one patch differ


def test_the_card_names_cells_and_margin(bundle: Path) -> None:
    card = open_bundle(bundle).card
    assert card.networks["patch"].output[1:] == (CELLS, CELLS, 2)
    assert card.preprocessing.patch.margin_px == MARGIN_PX


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "tflite"])
def test_engines_give_the_pixels_of_keras(
    engine: str, bundle: Path, reference: Prediction, slide: Path
) -> None:
    found = h2g.load_model(bundle, engine=engine).predict(slide)
    np.testing.assert_allclose(found.heatmap.values, reference.heatmap.values, atol=1e-5)
    assert (found.labels == reference.labels).mean() > 0.9999


def test_evaluation_scores_the_cells(run: Run) -> None:
    scores = h2g.evaluate(run.path)
    assert {"patchwise", "smoothed", "refined"} <= set(scores["variant"])
    assert scores["dice"].between(0, 1).all()


def test_tiles_are_counted_against_their_masks(run: Run) -> None:
    h2g.evaluate(run.path)
    folder = run.evaluation_folder("test")
    report = json.loads((folder / "tiles.json").read_text())
    confusion = np.array(report["confusion"])
    indexes = [read_patch_index(run.index_file(row.name)) for row in run.cohort.split("test")]
    assert report["tiles"] == sum(len(index.table) for index in indexes)
    assert confusion.sum() == report["tiles"] * CELLS**2
    assert report["pixels"]["Acc"] == pytest.approx(np.trace(confusion) / confusion.sum())
    assert 0 < report["mean_of_tiles"]["MIoU"] <= 1

    # The same pixels, from the annotation over the whole field.
    tumour = 0
    for index, row in zip(indexes, run.cohort.split("test"), strict=True):
        frame = describe_slide(row.slide).frame
        cells = (index.plan.cols * CELLS, index.plan.rows * CELLS)
        scale = index.plan.step_level0 / CELLS
        field = (round(cells[0] * scale), round(cells[1] * scale))
        truth = true_labels(row, RECIPE, dataclasses.replace(frame, field_level0=field), cells)
        squares = truth.reshape(index.plan.rows, CELLS, index.plan.cols, CELLS)
        for place in index.table[["row", "col"]].to_numpy():
            tumour += int((squares[place[0], :, place[1]] == 1).sum())
    assert confusion[1].sum() == pytest.approx(tumour, rel=0.05)
    assert {"tiles.csv", "tiles.md", "tiles.png"} <= {file.name for file in folder.iterdir()}
    assert "| mean of tiles |" in (folder / "tiles.md").read_text()


def test_a_network_with_further_outputs_is_kept_without_them(
    run: Run, tmp_path: Path, slide: Path
) -> None:
    patch = RECIPE.patch.model_copy(
        update={
            "model": "hi_net",
            "options": {"encoder": "resnet18"},
            "loss": "dice-crossentropy",
            "loss_over": "batch",
            "steps_per_epoch": 2,
        }
    )
    recipe = RECIPE.model_copy(update={"patch": patch, "refinement": None})
    for part in ("index", "tissue"):
        shutil.copytree(run.path / part, tmp_path / "run" / part)
    hi_net = start_run(tmp_path / "run", read_cohort(run.cohort.path), recipe)
    train_run(hi_net)
    network = load_network(hi_net.model_file("patch"))
    assert network.output_names == ["output_0_cells"]
    assert network.output_shape == (None, CELLS, CELLS, 2)
    found = h2g.load_model(hi_net.path).predict(slide)
    assert found.heatmap.values[..., 1].max() > 0
