"""Every engine gives whole slides the same heatmap and segmentation as Keras."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
import tifffile

from h2g.benchmarking.parity import compare_files
from h2g.engines.engine import PATCH_INPUT
from h2g.exporters.export_request import DEFAULT_OPSET
from h2g.exporters.formats import FILE_FORMATS, write_network
from h2g.folders.bundle import Format
from h2g.folders.cohort import read_cohort
from h2g.folders.predictions import SlideRequest
from h2g.folders.run import start_run
from h2g.models.deployment import deployed
from h2g.models.registry import build_patch_model, build_refinement_model
from h2g.prediction.find_model import find_model
from h2g.prediction.model_files import ModelFiles, NetworkFile
from h2g.prediction.predict_slides import predict_slides
from h2g.recipes.patch import PatchStage
from h2g.recipes.preprocessing import PatchSettings, Preprocessing
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage
from h2g.results.outputs import SlideFiles
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.slides.tissue_patches import locate_patches
from tests.engines.varied_networks import vary

INPUT_PX = 64
RECIPE = Recipe(
    name="varied",
    description="Both stages, random weights.",
    preprocessing=Preprocessing(patch=PatchSettings(mpp=2.0, size_px=32)),
    patch=PatchStage(options={"alpha": 0.35}, weights="none"),
    refinement=RefinementStage(options={"filters": [4, 8]}, input_px=INPUT_PX),
)
LEAST_EQUAL = 0.999
FORMATS: dict[str, Format] = {"onnxruntime": "onnx", "openvino": "openvino", "tflite": "tflite"}


@dataclass(frozen=True)
class Reference:
    """Keras's outputs for a slide, and its deployed graphs."""

    model: ModelFiles
    slide: Path
    files: SlideFiles
    graphs: dict[str, keras.Model]


@pytest.fixture(scope="module")
def reference(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("parity")
    cohort = read_cohort(phantom_cohort)
    slide = cohort.split("test")[0].slide
    networks = _networks(slide)
    run = start_run(folder / "run", cohort, RECIPE)
    for stage, network in networks.items():
        run.stage_folder(stage).mkdir()
        network.save(run.model_file(stage))
    model = find_model(run.path, engine="keras")
    return Reference(
        model=model,
        slide=slide,
        files=_predict(model, slide, folder / "keras"),
        graphs={stage: deployed(network) for stage, network in networks.items()},
    )


def test_the_networks_vary_over_the_slide(reference: Reference) -> None:
    """Otherwise any two engines would agree."""
    labels = tifffile.imread(reference.files["segmentation"], key=0)
    assert 0.1 < (labels > 0).mean() < 0.9
    # The border between the labels is long, so they are not two halves.
    assert (labels[:, 1:] != labels[:, :-1]).sum() > 2 * labels.shape[0]


@pytest.mark.parametrize("engine", list(FORMATS))
def test_float32_engines_agree_with_keras(
    reference: Reference, tmp_path: Path, engine: str
) -> None:
    model = _exported(reference.model, reference.graphs, tmp_path, engine=engine)
    found = compare_files(_predict(model, reference.slide, tmp_path / "out"), reference.files)
    # These networks magnify differences more than trained ones do.
    assert found.heatmap_difference < 1e-3
    assert found.equal_pixels >= LEAST_EQUAL
    assert found.dice >= LEAST_EQUAL


def test_the_comparison_notices_another_network(reference: Reference, tmp_path: Path) -> None:
    """The comparison fails if the heatmaps differ."""

    patch = keras.Input((32, 32, 3), name=PATCH_INPUT)
    inverted = keras.Model(patch, reference.graphs["patch"](255.0 - patch))
    graphs = {**reference.graphs, "patch": inverted}
    model = _exported(reference.model, graphs, tmp_path, engine="onnxruntime")
    found = compare_files(_predict(model, reference.slide, tmp_path / "out"), reference.files)
    assert found.heatmap_difference > 0.1
    assert found.equal_pixels < LEAST_EQUAL


def _networks(slide: Path) -> dict[str, keras.Model]:
    keras.utils.set_random_seed(3)
    patch = build_patch_model("mobilenet_v2", size_px=32, options={"alpha": 0.35})
    refinement = build_refinement_model("unet", input_px=INPUT_PX, options={"filters": [4, 8]})
    rng = np.random.default_rng(3)
    with open_slide(slide) as opened:
        located = locate_patches(opened, RECIPE.preprocessing)
        cells = rng.permutation(located.cells)[:64]
        patches = np.stack([located.plan.read_cell(opened, cell) for cell in cells])
        plane = read_low_resolution(opened, RECIPE.preprocessing.low_resolution)
    vary(patch, [patches.astype(np.float32) / 255])
    small = keras.ops.image.resize(plane.rgb.astype(np.float32) / 255, (INPUT_PX, INPUT_PX))
    heatmap = rng.random((1, INPUT_PX, INPUT_PX, 1), np.float32)
    vary(refinement, [np.asarray(small)[np.newaxis], heatmap])
    return {"patch": patch, "refinement": refinement}


def _predict(model: ModelFiles, slide: Path, out: Path) -> SlideFiles:
    (row,) = predict_slides(model, [SlideRequest(slide)], out, threads=2)
    assert row["status"] == "ok", row["reason"]
    return SlideFiles(out, slide.stem)


def _exported(
    model: ModelFiles, graphs: dict[str, keras.Model], folder: Path, *, engine: str
) -> ModelFiles:
    """The model with other networks, run by another engine."""
    networks = {}
    for name, graph in graphs.items():
        file = folder / f"{name}{FILE_FORMATS[FORMATS[engine]].suffix}"
        write_network(graph, file, format=FORMATS[engine], opset=DEFAULT_OPSET)
        networks[name] = NetworkFile(file)
    return dataclasses.replace(model, engine=engine, device="CPU", networks=networks)
