from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import Engine
from h2g.engines.keras_engine import found_devices, open_keras_engine
from h2g.errors import RunError, WrongUseError
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, open_run, start_run
from h2g.models.deployment import deployed_patch_classifier, deployed_refinement, load_network
from h2g.recipes.reading import validate_recipe
from tests.tiny_run import PX, RECIPE


def untrained_run(folder: Path) -> Run:
    """A run folder with a recipe and a cohort, and nothing trained."""
    (folder / "a.tiff").touch()
    (folder / "a.geojson").touch()
    (folder / "cohort.csv").write_text("slide,annotation,split\na.tiff,a.geojson,train\n")
    recipe = validate_recipe(RECIPE, source="tiny")
    return start_run(folder / "run", read_cohort(folder / "cohort.csv"), recipe)


@pytest.fixture
def run(tiny_run: Path) -> Run:
    """A run folder with both networks in it, of random weights."""
    return open_run(tiny_run)


def test_any_number_of_patches_of_bytes_or_floats(run: Run) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    graph = deployed_patch_classifier(load_network(run.model_file("patch")))
    expected = graph.predict_on_batch(patches.astype(np.float32))
    engine: Engine = open_keras_engine(run, stages=("patch",), batch_size=4)
    for count in (0, 1, 4, 6):
        found = engine.classify(patches[:count])
        assert found.shape == (count, 2)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:count], atol=1e-5)
    np.testing.assert_array_equal(engine.classify(patches.astype(np.float32)), found)


def test_slides_of_any_size_are_refined(run: Run) -> None:
    engine = open_keras_engine(run)
    assert engine.has_refinement
    graph = deployed_refinement(load_network(run.model_file("refinement")), PX)
    rng = np.random.default_rng(0)
    for height, width in ((40, 30), (25, 70)):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        heatmap = rng.random((height // 8, width // 8, 1), np.float32)
        found = engine.refine(image, heatmap)
        assert found.shape == (PX, PX, 2)
        assert found.dtype == np.float32
        raw = [image[np.newaxis].astype(np.float32), heatmap[np.newaxis]]
        np.testing.assert_allclose(found, graph.predict_on_batch(raw)[0], atol=1e-5)


def test_engine_says_what_it_runs(run: Run) -> None:
    engine = open_keras_engine(run, stages=("patch",))
    assert (engine.name, engine.precision) == ("keras", "float32")
    assert engine.device in ("CPU", "GPU")
    assert not engine.has_refinement
    with pytest.raises(RunError, match="without the refinement stage"):
        engine.refine(np.zeros((8, 8, 3), np.uint8), np.zeros((2, 2, 1), np.float32))


def test_devices(run: Run) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    engine = open_keras_engine(run, stages=("patch",), device="CPU")
    assert engine.device == "CPU"
    assert engine.classify(patches).shape == (3, 2)
    if "GPU" in found_devices():
        assert open_keras_engine(run, device="GPU").device == "GPU"
        assert open_keras_engine(run).device == "GPU"
    else:
        assert open_keras_engine(run).device == "CPU"
        with pytest.raises(WrongUseError, match="Keras finds no GPU here.*--device CPU"):
            open_keras_engine(run, device="GPU")


def test_batches_with_their_keys(run: Run) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    engine = open_keras_engine(run, stages=("patch",), batch_size=2)
    found = dict(engine.classify_each([("a", patches[:3]), ("b", patches[3:])]))
    expected = engine.classify(patches)
    np.testing.assert_allclose(np.concatenate([found["a"], found["b"]]), expected, atol=1e-6)


def test_stages_that_are_not_trained_are_named(run: Run, tmp_path: Path) -> None:
    fresh = untrained_run(tmp_path)
    with pytest.raises(RunError, match="the patch network is not trained yet. .*h2g train"):
        open_keras_engine(fresh)
    fresh.stage_folder("patch").mkdir()
    fresh.model_file("patch").write_bytes(run.model_file("patch").read_bytes())
    assert not open_keras_engine(fresh, stages=("patch",)).has_refinement
    with pytest.raises(RunError, match="the refinement network is not trained yet"):
        open_keras_engine(fresh)


def test_recipe_without_refinement_needs_none(run: Run) -> None:
    recipe = validate_recipe({**RECIPE, "refinement": None}, source="tiny")
    assert not open_keras_engine(Run(run.path, recipe, run.cohort)).has_refinement
