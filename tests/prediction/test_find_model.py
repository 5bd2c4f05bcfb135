from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import PATCH_INPUT
from h2g.engines.openvino_engine import has_bfloat16
from h2g.errors import H2GError, ModelError, RunError, WrongUseError
from h2g.folders.bundle import CARD_FILE
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, start_run
from h2g.hardware import has_onnxruntime_gpu
from h2g.prediction.find_model import find_model
from h2g.prediction.model_files import NetworkFile
from h2g.recipes.reading import validate_recipe
from tests.engines.small_networks import CLASSES, PREPROCESSING, SmallNetworks, write_bundle

FORMAT_OF_ENGINE = {"onnxruntime": "onnx", "openvino": "openvino", "tflite": "tflite"}


def run_folder(folder: Path) -> Run:
    """A run with a network file that is no network."""
    (folder / "a.tiff").touch()
    (folder / "a.geojson").touch()
    (folder / "cohort.csv").write_text("slide,annotation,split\na.tiff,a.geojson,train\n")
    recipe = validate_recipe({"name": "named", "description": "no more"}, source="named")
    run = start_run(folder / "run", read_cohort(folder / "cohort.csv"), recipe)
    run.stage_folder("patch").mkdir()
    run.model_file("patch").write_text("weights")
    return run


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "tflite"])
def test_every_engine_opens_a_bundle(
    small_bundle: Path, small_networks: SmallNetworks, engine: str
) -> None:
    model = find_model(small_bundle, engine=engine, device="CPU")
    assert (model.recipe, model.class_names) == ("small", CLASSES)
    assert model.preprocessing == PREPROCESSING
    assert (model.engine, model.precision) == (engine, "float32")
    assert model.takes_patches
    opened = model.open_networks(4)
    assert list(opened) == ["patch", "refinement"]
    for network in opened.values():
        assert (network.engine, network.device, network.precision) == (engine, "CPU", "float32")
    found = opened["patch"].run({PATCH_INPUT: small_networks.patches})
    np.testing.assert_allclose(found, small_networks.expected, atol=1e-4)
    refined = opened["refinement"].run(small_networks.fields[0])
    np.testing.assert_allclose(refined, small_networks.expected_fields[0], atol=1e-3)


@pytest.mark.parametrize(
    ("formats", "engine", "files"),
    [
        (("tflite", "onnx", "openvino", "fast"), "openvino", ["patch.bin", "patch.xml"]),
        (("tflite", "onnx"), "openvino", ["patch.onnx"]),
        (("tflite", "fast"), "tflite", ["patch.tflite"]),
    ],
)
@pytest.mark.skipif(has_onnxruntime_gpu(), reason="the GPU comes first")
def test_auto_takes_the_fastest_engine_with_files(
    small_networks: SmallNetworks, tmp_path: Path, formats: tuple, engine: str, files: list[str]
) -> None:
    bundle = write_bundle(tmp_path / "b", small_networks, formats=formats, stages=("patch",))
    model = find_model(bundle)
    assert model.engine == engine
    assert sorted(model.sha256) == files
    opened = model.open_networks(16)
    assert list(opened) == ["patch"]
    assert (opened["patch"].engine, opened["patch"].device) == (engine, "CPU")


@pytest.mark.parametrize("engine", sorted(FORMAT_OF_ENGINE))
def test_an_engine_without_files(
    small_networks: SmallNetworks, tmp_path: Path, engine: str
) -> None:
    bundle = write_bundle(tmp_path / "b", small_networks, formats=("fast",), stages=("patch",))
    add = f"h2g export RUN --format {FORMAT_OF_ENGINE[engine]} --out {bundle}"
    with pytest.raises(WrongUseError, match="holds fast float32. Add it: ") as caught:
        find_model(bundle, engine=engine)
    assert add in str(caught.value)
    with pytest.raises(WrongUseError, match="only holds pipelines for FAST. Give --engine fast"):
        find_model(bundle)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"engine": "keras"}, "--engine keras runs run folders"),
        ({"engine": "tflite", "precision": "bfloat16"}, "tflite computes in float32 or float16"),
        ({"engine": "fast", "precision": "int8"}, "fast computes in float32, not in int8"),
        ({"engine": "fast", "device": "GPU"}, "FAST chooses its devices itself"),
        ({"precision": "int8"}, "needs openvino int8 or onnx int8; this bundle holds onnx float32"),
        ({"precision": "float16"}, "--format openvino --precision float16 --out"),
        ({"engine": "onnxruntime", "precision": "int8"}, "--format onnx --precision int8 --out"),
        ({"engine": "tflite", "device": "GPU"}, "LiteRT does not run on a GPU here"),
    ],
)
def test_options_that_a_bundle_lacks(small_bundle: Path, options: dict, sentence: str) -> None:
    with pytest.raises(WrongUseError, match=sentence):
        find_model(small_bundle, **options)


def test_fast_segments_whole_slides(small_bundle: Path) -> None:
    model = find_model(small_bundle, engine="fast")
    assert model.engine == "fast"
    assert sorted(model.sha256) == ["fast/patch.onnx", "fast/refinement.onnx"]
    assert model.runs_whole_slides
    assert not model.networks
    assert not find_model(small_bundle, engine="openvino").runs_whole_slides


def test_a_rule_without_weights_is_not_rounded(small_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(small_bundle, tmp_path / "b")
    (card,) = [file for file in (tmp_path / "b").glob("*.json") if "networks" in file.read_text()]
    document = json.loads(card.read_text())
    document["networks"]["refinement"] |= {"architecture": "otsu", "parameters": 0}
    card.write_text(json.dumps(document))
    with pytest.raises(WrongUseError, match="refinement network is a rule without weights .otsu"):
        find_model(tmp_path / "b", precision="bfloat16")
    assert find_model(tmp_path / "b").precision == "float32"


@pytest.mark.skipif(not has_bfloat16("CPU"), reason="this CPU does not compute in bfloat16")
def test_predictions_of_two_precisions_do_not_mix(small_bundle: Path) -> None:
    exact, rounded = find_model(small_bundle), find_model(small_bundle, precision="bfloat16")
    assert rounded.engine == "openvino"
    assert {each.precision for each in rounded.open_networks(16).values()} == {"bfloat16"}
    assert exact.sha256 == rounded.sha256
    assert exact.identity != rounded.identity
    assert exact.identity == find_model(small_bundle).identity


def test_files_that_changed_or_are_missing(small_networks: SmallNetworks, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", small_networks)
    with (bundle / "patch.onnx").open("ab") as file:
        file.write(b"0")
    (bundle / "refinement.tflite").unlink()
    find_model(bundle, engine="openvino", device="CPU")
    with pytest.raises(ModelError, match="patch.onnx: changed since it was exported"):
        find_model(bundle, engine="onnxruntime", device="CPU")
    with pytest.raises(ModelError, match="refinement.tflite: .*is missing"):
        find_model(bundle, engine="tflite")


def test_a_bundle_that_cannot_make_heatmaps(small_networks: SmallNetworks, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", small_networks, stages=("refinement",))
    with pytest.raises(ModelError, match="no network that makes the heatmap for its refinement"):
        find_model(bundle)


def test_a_card_that_cannot_be_read(small_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(small_bundle, tmp_path / "b")
    card = json.loads((tmp_path / "b" / CARD_FILE).read_text())
    (tmp_path / "b" / CARD_FILE).write_text(json.dumps({**card, "card_version": 99}))
    with pytest.raises(ModelError, match="card version 99"):
        find_model(tmp_path / "b")
    (tmp_path / "b" / CARD_FILE).write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        find_model(tmp_path / "b")


def test_a_run_without_its_slides(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    (tmp_path / "a.tiff").unlink()
    model = find_model(run.path)
    assert (model.recipe, model.engine, model.precision) == ("named", "keras", "float32")
    assert sorted(model.sha256) == ["patch/model.keras"]
    assert model.networks == {"patch": NetworkFile(run.model_file("patch"))}
    assert model.takes_patches
    assert model.identity == find_model(run.path, engine="keras", device="CPU").identity


def test_a_run_that_is_not_trained(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    run.model_file("patch").unlink()
    with pytest.raises(RunError, match="the patch network is not trained yet. .*h2g train"):
        find_model(run.path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"engine": "onnxruntime"}, "--format onnx --out BUNDLE"),
        ({"engine": "fast"}, "--format fast --out BUNDLE"),
        ({"precision": "bfloat16"}, "--format openvino --out BUNDLE"),
        ({"precision": "int8"}, "--format openvino --precision int8 --out BUNDLE"),
    ],
)
def test_options_that_a_run_lacks(tmp_path: Path, options: dict, sentence: str) -> None:
    run = run_folder(tmp_path)
    with pytest.raises(WrongUseError, match=f"h2g export {run.path} {sentence}"):
        find_model(run.path, **options)


def test_paths_that_are_no_models(small_bundle: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "network.onnx").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    sentences = {
        tmp_path / "gone": "gone: there is no such folder. Give a run folder",
        tmp_path / "empty": "empty: this folder is empty. Give a run folder",
        tmp_path / "other": "other: not a model. Give a run folder",
        tmp_path / "notes.txt": "notes.txt: this is a file. Give a run folder",
        tmp_path / "network.onnx": "network.onnx: a network file lacks the classes",
        tmp_path: f"not a model, but it contains one. Give {run.path}.",
        small_bundle / "patch.onnx": f"this is a file of a model; give the folder: {small_bundle}.",
        small_bundle / "fast" / "patch.onnx": f"give the folder: {small_bundle}.",
        run.model_file("patch"): f"give the folder: {run.path}.",
    }
    for path, sentence in sentences.items():
        with pytest.raises(RunError) as caught:
            find_model(path)
        assert sentence in str(caught.value)
        assert isinstance(caught.value, H2GError)
