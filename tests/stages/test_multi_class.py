"""Three classes (background and two grades) from the annotations to the GeoJSON for QuPath."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import shapely
import tifffile
from click.testing import CliRunner

from h2g.annotations.truth import true_labels
from h2g.cli.main import main
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, open_run
from h2g.models.registry import REFINEMENT_MODELS, build_refinement_model
from h2g.recipes.reading import load_recipe
from h2g.results.slide_state import SlideState
from h2g.slides.reading import describe_slide, open_slide, read_low_resolution
from h2g.slides.tiff_files import read_heatmap
from h2g.stages.chain import STAGES
from h2g.stages.heatmaps.kept_heatmaps import slide_heatmap
from h2g.stages.refinement.refine import refine
from h2g.stages.run_network import open_run_network
from h2g.training.losses import SoftDice, slide_dice
from h2g.training.supervision import with_supervision

CLASSES = ("background", "low grade", "high grade")
PX = 64
RECIPE = """
name: grades
description: Two grades as two classes, small enough for a test.
seed: 5
preprocessing:
  patch: {mpp: 2.0, size_px: 32}
annotation:
  classes:
    low grade: [Grade 1]
    high grade: [grade 2, grade 3]
  ignored: [Fold]
patch:
  model: resnet18
  options: {filters: 8, blocks: [1, 1, 1, 1]}
  weights: none
  batch_size: 8
  steps_per_epoch: 3
  validation_steps: 1
  epochs: 1
  learning_rate: 3.0e-3
  workers: 2
refinement:
  options: {filters: [4, 8]}
  input_px: 64
  batch_size: 2
  accumulation_steps: 1
  epochs: 1
  patience: null
  batch_norm_momentum: 0.5
"""


@dataclass(frozen=True)
class Segmented:
    """A run of all stages with its test scores and the predictions of its test slides."""

    run: Run
    scores: dict
    predictions: Path


def write_graded_cohort(cohort: Path, folder: Path) -> Path:
    """The generated cohort with annotations of two grades on every slide.

    Annotations left of the middle have the slide's grade, those right of it the next one; 1 follows
    3.
    """
    with cohort.open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        document = json.loads((cohort.parent / row["annotation"]).read_text())
        shapes = [shapely.geometry.shape(f["geometry"]) for f in document["features"]]
        whole = shapely.union_all(shapes)
        left, bottom, right, top = whole.bounds
        middle, grade = (left + right) / 2, int(row["grade"][-1])
        halves = {
            f"Grade {grade}": shapely.box(left, bottom, middle, top),
            f"Grade {grade % 3 + 1}": shapely.box(middle, bottom, right, top),
            "Fold": shapely.box(left, bottom, left + 10, bottom + 10),
        }
        features = [
            {
                "type": "Feature",
                "geometry": shapely.geometry.mapping(
                    half if name == "Fold" else shapely.intersection(whole, half)
                ),
                "properties": {"objectType": "annotation", "classification": {"name": name}},
            }
            for name, half in halves.items()
        ]
        row["annotation"] = f"{Path(row['slide']).stem}.geojson"
        (folder / row["annotation"]).write_text(
            json.dumps({"type": "FeatureCollection", "features": features})
        )
        row["slide"] = str((cohort.parent / row["slide"]).resolve())
    table = folder / "cohort.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    return table


def give_every_class_its_share(run: Run) -> None:
    """Shifts and sharpens the head of the refinement network so that each class has most of the
    probability somewhere on the test slides; after an epoch none would anywhere."""
    patch, refinement = (open_run_network(run, STAGES[name]) for name in ("patch", "refinement"))
    found = []
    for row in run.cohort.split("test"):
        heatmap = slide_heatmap(run, row, lambda: patch, threads=1)
        with open_slide(row.slide, mpp=row.mpp) as slide:
            plane = read_low_resolution(slide, run.recipe.preprocessing.low_resolution)
        state = SlideState(plane, run.recipe.class_names, heatmap=heatmap)
        found.append(refine(state, refinement).field)
    logits = np.log(np.maximum(np.concatenate(found).reshape(-1, len(CLASSES)), 1e-12))
    file = run.model_file("refinement")
    network = keras.saving.load_model(file, compile=False)
    head = network.get_layer("output_0_segmentation")
    kernel, bias = head.get_weights()
    head.set_weights([100 * kernel, 100 * (bias - np.median(logits, axis=0))])
    network.save(file)


def h2g(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def segmented(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Segmented:
    folder = tmp_path_factory.mktemp("grades")
    table = write_graded_cohort(phantom_cohort, folder)
    (folder / "grades.yaml").write_text(RECIPE)
    h2g("train", table, "--recipe", folder / "grades.yaml", "--out", folder / "run", "--jobs", 1)
    run = open_run(folder / "run")
    give_every_class_its_share(run)
    scores = json.loads(h2g("evaluate", run.path, "--json"))
    h2g("predict", run.path, table, "--split", "test", "--out", folder / "predictions")
    return Segmented(run, scores, folder / "predictions")


def test_names_in_the_annotations_become_the_recipes_classes(
    segmented: Segmented, phantom_cohort: Path
) -> None:
    """Together the grades cover exactly the tumour of the generated cohort."""
    plain = {row.name: row for row in read_cohort(phantom_cohort).slides}
    for row in segmented.run.cohort.slides:
        frame = describe_slide(row.slide, mpp=row.mpp).frame
        labels = true_labels(row, segmented.run.recipe, frame, (PX, PX))
        tumour = true_labels(plain[row.name], load_recipe("demo"), frame, (PX, PX))
        np.testing.assert_array_equal(labels > 0, tumour > 0)
        # Slides of grade 2 are grade 2 on the left and 3 on the right: both high.
        low = {"1": True, "2": False, "3": True}[row.grade[-1]]
        assert (1 in labels) == low
        assert 2 in labels


def test_every_class_is_indexed_and_drawn(segmented: Segmented) -> None:
    tables = [
        pd.read_parquet(segmented.run.index_file(row.name))
        for row in segmented.run.cohort.split("train")
    ]
    assert set(pd.concat(tables)["label"]) >= {0, 1, 2}
    network = keras.saving.load_model(segmented.run.model_file("patch"))
    assert network.output_shape == (None, 3)


def test_heatmaps_have_one_channel_per_class(segmented: Segmented) -> None:
    for row in segmented.run.cohort.slides:
        values = read_heatmap(segmented.run.heatmap_file(row.name)).values
        assert values.shape[2] == 3
        sums = values.sum(axis=2)
        # Softmax where a patch was classified, 0 elsewhere.
        np.testing.assert_allclose(sums[sums > 0], 1, atol=1e-5)
        assert (sums > 0).any()
        assert (sums == 0).any()
    network = keras.saving.load_model(segmented.run.model_file("refinement"))
    # The refinement network sees the two grades, not the background.
    assert [tensor.shape for tensor in network.inputs] == [(None, PX, PX, 3), (None, PX, PX, 2)]
    assert network.output_shape == (None, PX, PX, 3)


def test_scores_of_every_class_are_those_of_its_pixels(segmented: Segmented) -> None:
    run, scores = segmented.run, segmented.scores
    assert [*scores["classes"]] == [*CLASSES[1:]]
    mean: dict[str, list[float]] = {name: [] for name in CLASSES[1:]}
    for row, found in zip(run.cohort.split("test"), scores["slides"], strict=True):
        assert found["slide"] == row.name
        frame = describe_slide(row.slide, mpp=row.mpp).frame
        truth = true_labels(row, run.recipe, frame, (PX, PX))
        labels_file = run.path / "evaluation" / "test" / "labels" / f"{row.name}.png"
        labels = keras.utils.img_to_array(
            keras.utils.load_img(labels_file, color_mode="grayscale"), dtype="uint8"
        )[..., 0]
        dice = {}
        for index, name in enumerate(CLASSES[1:], start=1):
            wanted, predicted = truth == index, labels == index
            total = int(wanted.sum() + predicted.sum())
            dice[name] = 2 * int((wanted & predicted).sum()) / total if total else 1.0
            assert found["classes"][name]["refined"]["dice"] == pytest.approx(dice[name])
            mean[name].append(dice[name])
        assert found["refined"]["dice"] == pytest.approx(np.mean([*dice.values()]))
    for name, values in mean.items():
        assert scores["classes"][name]["refined"]["dice"]["mean"] == pytest.approx(np.mean(values))


def test_predictions_name_their_classes(segmented: Segmented) -> None:
    summary = pd.read_csv(segmented.predictions / "summary.csv").set_index("slide")
    seen: set[str] = set()
    for row in segmented.run.cohort.split("test"):
        labels = tifffile.imread(
            segmented.predictions / "segmentations" / f"{row.name}.tiff", key=0
        )
        present = {CLASSES[label] for label in np.unique(labels) if label}
        file = segmented.predictions / "geojson" / f"{row.name}.geojson"
        features = json.loads(file.read_text())["features"]
        colours = {
            feature["properties"]["classification"]["name"]: tuple(
                feature["properties"]["classification"]["color"]
            )
            for feature in features
        }
        assert {*colours} == present
        assert len({*colours.values()}) == len(colours)
        seen |= present
        patches = pd.read_csv(segmented.predictions / "patches" / f"{row.name}.csv")
        columns = [f"prob_{name}" for name in CLASSES]
        np.testing.assert_allclose(patches[columns].sum(axis=1), 1, atol=1e-4)
        areas = summary.loc[row.name, [f"mm2_{name}" for name in CLASSES[1:]]]
        assert areas.sum() == pytest.approx(summary.loc[row.name, "tumour_mm2"], abs=1e-3)
    assert seen == {*CLASSES[1:]}


@pytest.mark.parametrize("name", [n for n, a in REFINEMENT_MODELS.items() if a.is_trained])
def test_every_refinement_network_learns_three_classes(name: str) -> None:
    """All outputs are trained with the recipe's loss; each class fills a third of the truth."""
    keras.utils.set_random_seed(0)
    network = with_supervision(
        build_refinement_model(
            name,
            input_px=32,
            num_classes=3,
            options={"filters": [8, 8, 16]},
            batch_norm_momentum=0.9,
            all_outputs=True,
        )
    )
    # Run eagerly, because a few steps take less time than tracing a graph.
    network.compile(keras.optimizers.Adam(1e-2), SoftDice(), metrics=[slide_dice], run_eagerly=True)
    labels = np.repeat(np.arange(32) * 3 // 32, 32).reshape(1, 32, 32)
    truth = np.eye(3, dtype=np.float32)[labels]
    image = np.repeat(labels[..., None] / 2, 3, axis=-1).astype(np.float32)
    losses = [float(network.train_on_batch([image, truth[..., 1:]], truth)[0]) for _ in range(5)]
    assert losses[-1] < losses[0]
    kept = network.predict_on_batch([image, truth[..., 1:]])
    kept = kept[0] if isinstance(kept, list) else kept
    assert kept.shape == (1, 32, 32, 3)
    np.testing.assert_allclose(kept.sum(axis=-1), 1, atol=1e-5)
