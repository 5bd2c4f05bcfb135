"""What can be exported, and the card that describes it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import keras
import pytest

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, PATCH_INPUT
from h2g.errors import ModelError, RecipeError, RunError, WrongUseError
from h2g.exporters.source import deployed_graph, deployed_graphs, open_source
from h2g.files import file_sha256
from h2g.folders.run import Run, open_run
from tests.exporters.random_run import INPUT_PX, PATCH_PX, write_run

SCORES = {"recall": {"mean": 0.5, "sd": 0.1}, "precision": {"mean": 0.6, "sd": 0.1}}


@pytest.fixture(scope="module")
def shared(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("source") / "both", phantom_cohort)


@pytest.fixture
def run(shared: Run, tmp_path: Path) -> Run:
    """A copy to be changed."""
    shutil.copytree(shared.path, tmp_path / "run")
    return open_run(tmp_path / "run")


def test_a_run_with_two_stages(shared: Run) -> None:
    source = open_source(shared.path)
    card = source.card
    assert (card.name, card.class_names) == ("random", ("background", "tumour"))
    assert card.preprocessing == shared.recipe.preprocessing
    assert source.run is not None
    assert source.run.path == shared.path
    assert list(source.files) == list(card.networks) == ["patch", "refinement"]
    for stage, file in source.files.items():
        assert file == shared.model_file(stage)
        assert card.networks[stage].sha256 == file_sha256(file)
    assert card.networks["refinement"].architecture == "unet"
    network = keras.saving.load_model(shared.model_file("patch"), compile=False)
    assert card.networks["patch"].parameters == network.count_params()
    assert card.training is not None
    assert card.training.slides == {"train": 2, "val": 1, "test": 1}
    assert sum(card.training.grades.values()) == 2
    assert card.training.patients["train"] in (1, 2)
    assert card.scores == {}
    assert card.exports == ()


def test_the_card_says_how_networks_are_run(shared: Run) -> None:
    networks = open_source(shared.path).card.networks
    patch, refinement = networks["patch"], networks["refinement"]
    assert (patch.many, refinement.many) == (True, False)
    assert patch.inputs == {PATCH_INPUT: (None, PATCH_PX, PATCH_PX, 3)}
    assert patch.output == (None, 2)
    assert patch.sees == "patch of 32 x 32 px at 2 um/px -> probability of each class"
    assert refinement.inputs == {IMAGE_INPUT: (1, None, None, 3), HEATMAP_INPUT: (1, None, None, 1)}
    assert refinement.output == (1, INPUT_PX, INPUT_PX, 2)
    assert refinement.sees == (
        "low-resolution slide and heatmap -> 64 x 64 class probabilities of the whole slide"
    )


def test_the_deployed_graphs(shared: Run) -> None:
    source = open_source(shared.path)
    patch, patch_of_one = (deployed_graph(source, "patch", batch_size=size) for size in (None, 1))
    assert patch.input_shape == (None, PATCH_PX, PATCH_PX, 3)
    assert patch_of_one.input_shape == (1, PATCH_PX, PATCH_PX, 3)
    assert [tensor.name for tensor in patch_of_one.inputs] == ["input_0_patch"]
    refinement = deployed_graph(source, "refinement", spacing_frame=True)
    assert [tensor.name for tensor in refinement.inputs] == [
        "input_0_image",
        "input_1_heatmap",
        "input_2_frame",
    ]
    graphs = deployed_graphs(source)
    assert list(graphs) == ["patch", "refinement"]
    assert [len(graph.inputs) for graph in graphs.values()] == [1, 2]


def test_a_run_with_one_stage(phantom_cohort: Path, tmp_path: Path) -> None:
    source = open_source(write_run(tmp_path / "one", phantom_cohort, refines=False).path)
    assert set(source.card.networks) == {"patch"}
    with pytest.raises(ModelError, match="no refinement network"):
        deployed_graph(source, "refinement")


def test_slides_need_not_be_there(run: Run, tmp_path: Path) -> None:
    table = (run.path / "cohort.csv").read_text()
    (run.path / "cohort.csv").write_text(table.replace("/slides/", "/moved/"))
    assert open_source(run.path).card.training.slides["train"] == 2


def test_scores_of_the_run_and_none_that_are_older(run: Run, caplog) -> None:
    file = run.path / "evaluation" / "test" / "scores.json"
    file.parent.mkdir(parents=True)
    patchwise = {**SCORES, "dice": {"mean": 0.7, "sd": 0.1}}
    document = {"split": "test", "n": 1, "patchwise": patchwise, "smoothed": None, "refined": None}
    file.write_text(json.dumps(document))
    assert open_source(run.path).card.scores == {
        "patchwise": {"recall": 0.5, "precision": 0.6, "dice": 0.7}
    }
    os.utime(file, (1, 1))
    assert open_source(run.path).card.scores == {}
    assert "older than the networks" in caplog.text
    file.write_text('{"patchwise": 3}')
    with pytest.raises(RunError, match="scores.json: not what 'h2g evaluate' writes"):
        open_source(run.path)


@pytest.mark.parametrize("stage", ["patch", "refinement"])
def test_a_single_file_in_a_run_folder(shared: Run, stage: str) -> None:
    source = open_source(shared.model_file(stage))
    assert source.card.networks == {stage: open_source(shared.path).card.networks[stage]}
    assert source.card.name == "random"
    assert (source.run, source.card.training) == (None, None)
    assert source.files == {stage: shared.model_file(stage)}


def test_a_single_file_elsewhere_needs_its_recipe(shared: Run, tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    shutil.copy(shared.model_file("patch"), file)
    with pytest.raises(WrongUseError, match="needs its recipe.*--recipe"):
        open_source(file)
    recipe = str(shared.path / "recipe.yaml")
    assert open_source(file, recipe=recipe, name="mine").card.name == "mine"
    with pytest.raises(ModelError, match=r"no network of recipe 'mob-pw'.*32 x 32 x 3.*patch: 256"):
        open_source(file, recipe="mob-pw")
    with pytest.raises(RecipeError, match="No recipe 'nosuch'"):
        open_source(file, recipe="nosuch")
    shutil.copy(shared.model_file("refinement"), file)
    with pytest.raises(ModelError, match=r"no network of recipe 'mob-pw'.*64 x 64 x 1.*patch: 256"):
        open_source(file, recipe="mob-pw")


def test_what_cannot_be_exported_is_a_sentence(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing to export"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "old.h5").touch()
    with pytest.raises(RunError, match="old.h5: Keras's old format. Save it as .keras"):
        open_source(tmp_path / "old.h5", recipe="demo")
    with pytest.raises(WrongUseError, match="leave out --recipe"):
        open_source(run.path, recipe="demo")
    with pytest.raises(WrongUseError, match="--name ../up"):
        open_source(run.path, name="../up")
    run.model_file("refinement").unlink()
    with pytest.raises(RunError, match="refinement network is not trained yet"):
        open_source(run.path)


def test_a_file_that_runs_code_on_loading_is_not_loaded(run: Run) -> None:
    marker = run.path / "code-ran"
    image = keras.Input((PATCH_PX, PATCH_PX, 3))
    x = keras.layers.Lambda(lambda t, where=str(marker): (open(where, "w").close(), t)[1])(image)
    marker.unlink()  # building the model ran it
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(2, activation="softmax", name="output_0_probabilities")(x)
    keras.Model(image, x).save(run.model_file("patch"))
    with pytest.raises(ModelError, match="contains a Lambda layer"):
        open_source(run.path)
    assert not marker.exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_broken_file_is_a_sentence(run: Run, damage: str) -> None:
    file = run.model_file("patch")
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"weights"}[damage])
    with pytest.raises(ModelError, match=r"patch/model.keras: not a Keras model"):
        open_source(run.path)
