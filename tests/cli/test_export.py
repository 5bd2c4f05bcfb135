"""h2g export with a small network of random weights on generated slides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from h2g.cli.main import main
from h2g.folders.bundle import check_export, open_bundle
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, start_run
from h2g.recipes.reading import validate_recipe
from h2g.stages.prepare.prepare_run import index_cohort

RECIPE = {
    "name": "tiny",
    "description": "one stage, untrained",
    "preprocessing": {"patch": {"size_px": 32, "mpp": 2.0}},
}


@pytest.fixture(scope="module")
def run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One training slide, one network."""
    import keras

    folder = tmp_path_factory.mktemp("export_command")
    row = read_cohort(phantom_cohort).split("train")[0]
    table = f"slide,annotation,split\n{row.slide.resolve()},{row.annotation.resolve()},train\n"
    (folder / "cohort.csv").write_text(table)
    recipe = validate_recipe(RECIPE, source="tiny")
    run = start_run(folder / "run", read_cohort(folder / "cohort.csv"), recipe)
    index_cohort(run, jobs=1)
    keras.utils.set_random_seed(0)
    patch = keras.Input((32, 32, 3), name="patch")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(patch))
    x = keras.layers.Dense(2, activation="softmax", name="output_0_probabilities")(x)
    run.stage_folder("patch").mkdir()
    keras.Model(patch, x).save(run.model_file("patch"))
    return run


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_one_json_document_on_stdout(run: Run, tmp_path: Path, capfd) -> None:
    out = tmp_path / "bundle"
    result = export(run.path, "--format", "openvino", "--format", "onnx", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert capfd.readouterr().out == ""  # nor do the converters print there
    assert document["bundle"] == str(out)
    onnx, openvino = document["formats"]
    assert (onnx["format"], onnx["precision"], onnx["checked"]) == ("onnx", "float32", True)
    assert onnx["was_there"] is False
    assert onnx["files"] == ["patch.onnx"]
    assert sorted(openvino["files"]) == ["patch.bin", "patch.xml"]
    assert 0 <= onnx["max_difference"]["patch"] <= 1e-4
    assert [*onnx["max_difference"]] == ["patch"]
    bundle = open_bundle(out)
    for each in bundle.card.exports:
        check_export(bundle, each)


def test_a_table_with_the_differences(run: Run, tmp_path: Path) -> None:
    result = export(run.path, "--format", "onnx", "--out", tmp_path / "bundle")
    assert result.exit_code == 0, result.output
    for words in ("tiny: largest difference", "onnx", "float32", "on slides", "bundle: "):
        assert words in result.stdout
    assert "%" not in result.stdout  # progress stays on stderr
    result = export(run.path, "--format", "onnx", "--out", tmp_path / "bundle")
    assert "kept" in result.stdout  # in place of the seconds
    result = export(run.path, "--format", "onnx", "--no-check", "--out", tmp_path / "other")
    assert "not checked" in result.stdout


def test_a_single_file_with_its_recipe(run: Run, tmp_path: Path) -> None:
    network, out = tmp_path / "model.keras", tmp_path / "bundle"
    shutil.copy(run.model_file("patch"), network)
    recipe = run.path / "recipe.yaml"
    named = ("--recipe", recipe, "--name", "mine")
    result = export(network, "--format", "onnx", "--out", out, *named)
    assert result.exit_code == 0, result.output
    assert open_bundle(out).card.name == "mine"
    assert "on noise" in result.stdout


def test_a_network_of_another_author_gives_its_own_values(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import keras
    import onnxruntime

    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((32, 32, 3), name="picture"),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    network = keras.Sequential(layers)
    network.save(tmp_path / "model.keras")
    recipe = ("--recipe", run.path / "recipe.yaml")
    out = tmp_path / "out"
    result = export(tmp_path / "model.keras", "--format", "onnx", "--out", out, *recipe)
    assert result.exit_code == 0, result.output
    assert "scales pixels of 0 to 255 itself" in caplog.text
    (file,) = out.rglob("*.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(file).run(None, {"input_0_patch": pixels})
    np.testing.assert_allclose(found, network.predict_on_batch(pixels), atol=1e-5)


def test_pipelines_are_installed(run: Run, tmp_path: Path) -> None:
    out, target = tmp_path / "bundle", tmp_path / "fastpathology"
    flags = ("--accept-preprocessing-change", "--no-check", "--install", target, "--json")
    result = export(run.path, "--format", "fast", "--out", out, *flags)
    assert result.exit_code == 0, result.output
    installed = [Path(name) for name in json.loads(result.stdout)["installed"]]
    assert target / "pipelines" / "tiny.fpl" in installed
    assert all(path.is_file() for path in installed)


def test_author_and_licence_stay_in_a_bundle(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    named = ("--author", "Jane Doe", "--licence", "MIT")
    onnx = ("--format", "onnx", "--no-check", "--out", out)
    tflite = ("--format", "tflite", "--no-check", "--out", out)

    def terms() -> tuple[str, str]:
        card = open_bundle(out).card
        assert card.author in (out / "MODEL_CARD.md").read_text("utf-8")
        return card.author, card.licence

    assert export(run.path, *onnx, *named).exit_code == 0
    assert terms() == ("Jane Doe", "MIT")
    # Without the options, what is there stays, and nothing is made again.
    again = export(run.path, *onnx, "--json")
    assert json.loads(again.stdout)["formats"][0]["was_there"] is True
    assert export(run.path, *tflite).exit_code == 0
    assert terms() == ("Jane Doe", "MIT")
    # Files in there would say another author than the card.
    result = export(run.path, *tflite, "--author", "John Doe")
    assert result.exit_code == 2, result.output
    assert "(onnx float32) have author 'Jane Doe' and licence 'MIT'" in result.stderr
    assert terms() == ("Jane Doe", "MIT")
    both = export(run.path, *onnx, "--format", "tflite", "--author", "John Doe", "--json")
    assert [row["was_there"] for row in json.loads(both.stdout)["formats"]] == [False, False]
    assert terms() == ("John Doe", "MIT")
    bundle = open_bundle(out)
    for each in bundle.card.exports:
        check_export(bundle, each)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--format", "onnx", "--author", " "], 2, "--author ' ': give one line of text"),
        (["--format", "onnx", "--licence", "a\nb"], 2, "leave out --licence"),
        (["--format", "onnx", "--precision", "float16"], 2, "onnx has no --precision float16"),
        (["--format", "fast", "--precision", "int8"], 2, "fast has no --precision int8"),
        (["--format", "onnx", "--opset", "99"], 2, "99"),
        (["--format", "onnx", "--opset", "11", "--no-check"], 2, "--opset 13 to 18"),
        (["--format", "onnx", "--install"], 2, "add --format fast"),
        (["--format", "fast"], 2, "--accept-preprocessing-change"),
        (["--format", "all"], 2, "--accept-preprocessing-change"),
        (["--format", "onnx", "--recipe", "demo"], 2, "leave out --recipe"),
        (["--format", "onnx", "--name", "a/b"], 2, "--name a/b"),
        (["--format", "caffe"], 2, "'caffe' is not one of"),
        ([], 2, "Missing option '--format'"),
    ],
)
def test_wrong_use_is_a_sentence(
    run: Run, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    result = export(run.path, *arguments, "--out", tmp_path / "bundle")
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "bundle").exists()


def test_places_and_models_that_cannot_be(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    cut, out = tmp_path / "cut.keras", tmp_path / "bundle"
    cut.write_bytes(run.model_file("patch").read_bytes()[:5000])
    recipe = ("--recipe", str(run.path / "recipe.yaml"))
    for model, place, more, code, words in (
        (run.path, file / "below", (), 1, "part of this path is a file, not a folder"),
        (run.path, Path("/proc/below"), (), 1, "it cannot be created here"),
        (run.path, file, (), 2, "this is a file"),
        (run.path, run.path, (), 2, "this is a run folder"),
        (run.path, tmp_path, (), 2, "holds other files and no bundle"),
        (tmp_path / "nowhere", out, (), 2, "nothing to export"),
        (cut, out, recipe, 1, "cut.keras: not a Keras model that can be loaded"),
        (cut, out, (), 2, "needs its recipe"),
    ):
        result = export(model, "--format", "onnx", "--no-check", "--out", place, *more)
        assert result.exit_code == code, result.output
        assert result.stderr.startswith("h2g: ")
        assert words in result.stderr
        assert not out.exists()


def test_help_shows_a_command_for_each_use() -> None:
    text = export("--help").stdout
    for example in (
        "h2g export run --format onnx --format openvino --out bundle",
        "--precision int8",
        "--install",
        "--accept-preprocessing-change",
        "h2g export model.keras --recipe demo",
        "h2g export bundle --format openvino",
        "h2g predict bundle",
    ):
        assert example in text
