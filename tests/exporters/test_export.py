"""A run becomes a bundle, each format whole and checked or not at all."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from h2g.errors import ModelError, RunError, WrongUseError
from h2g.exporters import bundle_folder, export_format, formats
from h2g.exporters.export import export_model
from h2g.exporters.export_request import ExportRequest, wanted_formats
from h2g.exporters.fast_limits import with_fast_preprocessing
from h2g.exporters.model_card import MODEL_CARD_FILE
from h2g.exporters.quantization_cost import MeasuredCost
from h2g.exporters.source import open_source
from h2g.files import file_sha256
from h2g.folders.bundle import CARD_FILE, Bundle, check_export, open_bundle
from h2g.folders.run import Run, open_run
from h2g.recipes.preprocessing import PROFILES
from h2g.stages.chain import NETWORKS
from tests.exporters.random_run import prepare, write_networks, write_run

ONNX = ExportRequest(("onnx",))
UNCHECKED = ExportRequest(("onnx",), check=False)


@pytest.fixture(scope="module")
def shared(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prepare(write_run(tmp_path_factory.mktemp("export") / "both", phantom_cohort))


@pytest.fixture(scope="module")
def exported(shared: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Three formats in float32, checked; read only."""
    request = ExportRequest(("onnx", "openvino", "tflite"))
    bundle, done = export_model(shared.path, tmp_path_factory.mktemp("bundles") / "one", request)
    assert [each.export.format for each in done] == ["onnx", "openvino", "tflite"]
    return bundle


@pytest.fixture
def bundle(exported: Bundle, tmp_path: Path) -> Bundle:
    """A copy to be changed."""
    shutil.copytree(exported.path, tmp_path / "bundle")
    return open_bundle(tmp_path / "bundle")


@pytest.fixture
def run(shared: Run, tmp_path: Path) -> Run:
    """A copy to be changed."""
    shutil.copytree(shared.path, tmp_path / "run")
    return open_run(tmp_path / "run")


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def test_every_format_is_there_whole_and_like_keras(exported: Bundle, shared: Run) -> None:
    card = open_bundle(exported.path).card
    assert card == exported.card
    assert {(e.format, e.precision) for e in card.exports} == {
        ("onnx", "float32"),
        ("openvino", "float32"),
        ("tflite", "float32"),
    }
    for export in card.exports:
        check_export(exported, export)
        assert set(export.networks.values()) <= set(export.files)
        assert set(export.networks) == {"patch", "refinement"}
        check = export.check
        assert check is not None
        assert (check.pixels, check.reference.split()[0]) == ("slides", "keras")
        assert set(check.max_difference) == {"patch", "refinement"}
        assert all(each <= NETWORKS[name].limit for name, each in check.max_difference.items())
    assert [e.opset for e in card.exports] == [17, None, None]
    names = {name for export in card.exports for name in export.files}
    assert set(hashes(exported.path)) == {*names, CARD_FILE, MODEL_CARD_FILE}
    assert {"patch.onnx", "refinement.xml", "refinement.bin", "patch.tflite"} <= names
    assert card.training.slides == {"train": 2, "val": 1, "test": 1}
    assert "patch.onnx" in (exported.path / MODEL_CARD_FILE).read_text("utf-8")


def test_an_onnx_file_says_what_it_is(exported: Bundle) -> None:
    network = onnx.load(exported.path / "refinement.onnx")
    about = {item.key: item.value for item in network.metadata_props}
    assert about["name"] == "random"
    assert about["stage"] == "refinement"
    assert about["class_names"] == "background,tumour"
    assert about["patch_mpp"] == "2"


def test_a_format_is_added_and_others_stay(bundle: Bundle, shared: Run) -> None:
    before = hashes(bundle.path)
    request = ExportRequest(("tflite",), precision="float16", check=False)
    after, _ = export_model(shared.path, bundle.path, request)
    assert after.card.find_export("tflite", "float16").check is None
    assert after.card.find_export("tflite") == bundle.card.find_export("tflite")
    now = hashes(bundle.path)
    assert set(now) - set(before) == {"patch.float16.tflite", "refinement.float16.tflite"}
    changed = {name for name in before if now[name] != before[name]}
    assert changed == {CARD_FILE, MODEL_CARD_FILE}
    assert "not checked" in (bundle.path / MODEL_CARD_FILE).read_text("utf-8")


def test_a_format_is_replaced(bundle: Bundle, shared: Run) -> None:
    request = ExportRequest(("onnx",), opset=13, check=False)
    after, _ = export_model(shared.path, bundle.path, request)
    assert after.card.find_export("onnx").opset == 13
    assert len(after.card.exports) == 3
    for export in after.card.exports:
        check_export(after, export)


def test_a_bundle_keeps_its_name(bundle: Bundle, shared: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="openvino float32, tflite float32.*named 'random'"):
        export_model(shared.path, bundle.path, UNCHECKED, name="anew")
    named, _ = export_model(shared.path, tmp_path / "named", UNCHECKED, name="mine")
    again, _ = export_model(shared.path, tmp_path / "named", UNCHECKED)
    assert (named.card.name, again.card.name) == ("mine", "mine")


def test_another_model_there_is_refused(bundle: Bundle, run: Run) -> None:
    write_networks(run, seed=1)
    before = hashes(bundle.path)
    with pytest.raises(RunError, match="holds other networks"):
        export_model(run.path, bundle.path, UNCHECKED)
    assert hashes(bundle.path) == before


def test_other_places_are_refused(shared: Run, bundle: Bundle, tmp_path: Path) -> None:
    foreign, file = tmp_path / "foreign", tmp_path / "file"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    file.write_text("mine")
    for place, words in {
        shared.path: "this is a run folder",
        foreign: "holds other files and no bundle",
        file: "this is a file",
    }.items():
        with pytest.raises(RunError, match=words):
            export_model(shared.path, place, UNCHECKED)
    assert hashes(foreign).keys() == {"thesis.txt"}
    card = json.loads((bundle.path / CARD_FILE).read_text("utf-8"))
    (bundle.path / CARD_FILE).write_text(json.dumps({**card, "card_version": 9}))
    with pytest.raises(RunError, match="card version 9"):
        export_model(shared.path, bundle.path, UNCHECKED)


def broken(value: float) -> Any:
    """A converter that adds ``value`` to a bias of the graph's last layer."""
    real = formats.write_onnx

    def write(model: keras.Model, path: Path, **options: Any) -> None:
        network = keras.models.clone_model(model)
        network.set_weights(model.get_weights())
        bias = [weight for weight in network.weights if weight.name == "bias"][-1]
        bias.assign(bias.numpy() + np.array([value, 0], np.float32))
        real(network, path, **options)

    return write


@pytest.mark.parametrize(("value", "figure"), [(0.01, r"patch \d\.\de-03"), (np.nan, "patch nan")])
def test_what_differs_is_refused_and_nothing_is_left(
    shared: Run, bundle: Bundle, tmp_path: Path, monkeypatch, value: float, figure: str
) -> None:
    monkeypatch.setattr(formats, "write_onnx", broken(value))
    before = hashes(bundle.path)
    for out in (bundle.path, tmp_path / "new"):
        with pytest.raises(ModelError, match=f"onnx float32 .*keras.*{figure}"):
            export_model(shared.path, out, ExportRequest(("onnx",), opset=16))
    assert hashes(bundle.path) == before
    assert not (tmp_path / "new").exists()


STOPS = [KeyboardInterrupt(), OSError(errno.ENOSPC, "no space", "patch.tflite")]


def stopped(stop: BaseException) -> Any:
    """A converter that is stopped half-way."""

    def write(model: keras.Model, path: Path, **_: Any) -> None:
        path.write_text("half of it")
        raise stop

    return write


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_in_the_first_format_nothing_is_left(
    shared: Run, bundle: Bundle, tmp_path: Path, monkeypatch, stop: BaseException
) -> None:
    monkeypatch.setattr(formats, "write_tflite", stopped(stop))
    before = hashes(bundle.path)
    request = ExportRequest(("tflite",), precision="float16", check=False)
    for out in (bundle.path, tmp_path / "new" / "below"):
        with pytest.raises(type(stop)):
            export_model(shared.path, out, request)
    assert hashes(bundle.path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_in_the_second_format_it_goes_on_there(
    shared: Run, tmp_path: Path, monkeypatch, stop: BaseException
) -> None:
    out, request = tmp_path / "out", ExportRequest(("onnx", "tflite"), check=False)
    with monkeypatch.context() as patch:
        patch.setattr(formats, "write_tflite", stopped(stop))
        with pytest.raises(type(stop)):
            export_model(shared.path, out, request)
    (first,) = open_bundle(out).card.exports
    check_export(open_bundle(out), first)
    assert set(hashes(out)) == {*first.files, CARD_FILE, MODEL_CARD_FILE}
    written = (out / "patch.onnx").stat()
    bundle, (onnx, tflite) = export_model(shared.path, out, request)
    assert (onnx.export, onnx.seconds) == (first, None)
    assert (out / "patch.onnx").stat() == written
    assert tflite.seconds > 0
    assert [export.format for export in bundle.card.exports] == ["onnx", "tflite"]


def test_what_is_there_is_made_again_where_it_would_be_another(
    bundle: Bundle, shared: Run, monkeypatch
) -> None:
    def is_made(request: ExportRequest) -> bool:
        _, (done,) = export_model(shared.path, bundle.path, request)
        check_export(bundle, open_bundle(bundle.path).card.find_export("onnx"))
        return done.seconds is not None

    assert not is_made(ONNX)
    assert not is_made(UNCHECKED)
    assert is_made(ExportRequest(("onnx",), opset=14, check=False))
    assert is_made(ExportRequest(("onnx",), opset=14))  # now checked
    (bundle.path / "patch.onnx").write_bytes(b"damaged")
    assert is_made(ExportRequest(("onnx",), opset=14))
    monkeypatch.setattr(bundle_folder, "__version__", "99")
    assert is_made(ExportRequest(("onnx",), opset=14))


def test_scores_of_a_later_evaluation_reach_a_bundle_that_lacks_nothing(
    bundle: Bundle, run: Run
) -> None:
    assert bundle.card.scores == {}
    folder = run.path / "evaluation" / "test"
    folder.mkdir(parents=True)
    mean = {metric: {"mean": 0.5} for metric in ("recall", "precision", "dice")}
    (folder / "scores.json").write_text(json.dumps({"refined": mean}))
    after, (done,) = export_model(run.path, bundle.path, ONNX)
    assert done.seconds is None
    assert after.card.scores["refined"]["dice"] == 0.5
    assert after.card.exports == bundle.card.exports
    assert "0.500" in (bundle.path / MODEL_CARD_FILE).read_text("utf-8")


def test_slides_that_moved_away_name_no_check(run: Run, tmp_path: Path) -> None:
    table = (run.path / "cohort.csv").read_text()
    (run.path / "cohort.csv").write_text(table.replace("/slides/", "/moved/"))
    with pytest.raises(RunError, match="--no-check"):
        export_model(run.path, tmp_path / "out", ONNX)
    assert not (tmp_path / "out").exists()
    bundle, (done,) = export_model(run.path, tmp_path / "out", UNCHECKED)
    assert done.export.check is None
    check_export(bundle, done.export)


def test_a_single_file_is_checked_on_noise(shared: Run, tmp_path: Path) -> None:
    bundle, (done,) = export_model(shared.model_file("refinement"), tmp_path / "out", ONNX)
    assert set(hashes(bundle.path)) == {"refinement.onnx", CARD_FILE, MODEL_CARD_FILE}
    assert done.export.check.pixels == "noise"
    assert done.export.check.max_difference["refinement"] <= NETWORKS["refinement"].limit
    assert "noise, not slides" in (bundle.path / MODEL_CARD_FILE).read_text("utf-8")


def test_one_stage(phantom_cohort: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", phantom_cohort, refines=False)
    request = ExportRequest(("openvino",), precision="float16", check=False)
    bundle, _ = export_model(run.path, tmp_path / "out", request)
    assert set(bundle.card.networks) == {"patch"}
    assert (tmp_path / "out" / "patch.float16.xml").is_file()


def test_an_onnx_bundle_becomes_openvino(bundle: Bundle, tmp_path: Path) -> None:
    request = ExportRequest(("openvino",))
    converted, (done,) = export_model(bundle.path, tmp_path / "out", request)
    check = done.export.check
    assert check.reference.startswith("onnxruntime")
    assert check.pixels == "noise"
    assert max(check.max_difference.values()) <= 1e-4
    assert converted.card.networks == bundle.card.networks
    assert converted.card.training == bundle.card.training
    assert [e.format for e in converted.card.exports] == ["openvino"]
    # Into the same folder it is one more format.
    (bundle.path / "patch.xml").unlink()
    same, (made,) = export_model(bundle.path, bundle.path, request)
    assert made.seconds > 0
    assert [e.format for e in same.card.exports] == ["onnx", "openvino", "tflite"]


def test_of_a_bundle_nothing_else_is_made(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(WrongUseError, match="can only be exported to --format openvino"):
        export_model(bundle.path, out, ExportRequest(("openvino", "tflite")))
    with pytest.raises(WrongUseError, match="leave out --recipe"):
        export_model(bundle.path, out, ExportRequest(("openvino",)), recipe="demo")
    with pytest.raises(WrongUseError, match="int8 .* needs the run folder"):
        export_model(bundle.path, out, ExportRequest(("openvino",), precision="int8"))
    (bundle.path / "patch.onnx").write_bytes(b"another")
    with pytest.raises(ModelError, match="patch.onnx: changed since"):
        export_model(bundle.path, out, ExportRequest(("openvino",)))
    shutil.rmtree(bundle.path)
    openvino_only = [e for e in bundle.card.exports if e.format == "openvino"]
    bundle.path.mkdir()
    card = bundle.card.model_copy(update={"exports": tuple(openvino_only)})
    (bundle.path / CARD_FILE).write_text(card.model_dump_json())
    with pytest.raises(RunError, match="no float32 ONNX networks"):
        export_model(bundle.path, out, ExportRequest(("openvino",)))


@pytest.mark.parametrize("force", [False, True])
def test_int8_that_costs_too_much_is_refused_unless_forced(
    shared: Run, tmp_path: Path, monkeypatch, caplog, force: bool
) -> None:
    lost = MeasuredCost({"patch": {"float32": 0.9, "int8": 0.8}}, {"float32": 0.9, "int8": 0.88})
    monkeypatch.setattr(export_format, "measure_cost", lambda run, networks: lost)
    request = ExportRequest(("onnx",), precision="int8", force=force)
    out = tmp_path / "out"
    if not force:
        with pytest.raises(ModelError, match=r"loses 0\.020 .*0\.900 .*0\.880.*--force"):
            export_model(shared.path, out, request)
        assert not out.exists()
        return
    bundle, (done,) = export_model(shared.path, out, request)
    assert "loses 0.020" in caplog.text
    _, (again,) = export_model(shared.path, out, request)
    assert again.seconds is None
    with pytest.raises(ModelError, match="--force"):
        export_model(shared.path, out, dataclasses.replace(request, force=False))
    assert done.export.cost.dice == lost.dice
    # The split has no more slides than two.
    assert done.export.cost.calibration == {"patch": 256, "refinement": 2}
    # Only int8 is in the bundle, not the float32 that it was made from.
    assert set(done.export.files) == {"patch.int8.onnx", "refinement.int8.onnx"}
    assert set(hashes(bundle.path)) == {*done.export.files, CARD_FILE, MODEL_CARD_FILE}


def test_what_int8_costs_is_measured_on_validation_slides(shared: Run, tmp_path: Path) -> None:
    # Forced: of random weights, nobody knows what int8 costs.
    request = ExportRequest(("onnx",), precision="int8", force=True)
    bundle, (done,) = export_model(shared.path, tmp_path / "out", request)
    cost = done.export.cost
    assert set(cost.accuracy) == {"patch"}
    for measured in (cost.dice, cost.accuracy["patch"]):
        assert set(measured) == {"float32", "int8"}
        assert all(0 <= value <= 1 for value in measured.values())
    assert "Dice of slides" in (bundle.path / MODEL_CARD_FILE).read_text("utf-8")


def test_precisions_of_formats() -> None:
    assert wanted_formats(["all"], "float32") == ("onnx", "openvino", "tflite", "fast")
    assert wanted_formats(["all"], "float16") == ("openvino", "tflite")
    assert wanted_formats(["tflite", "onnx", "tflite"], "int8") == ("onnx", "tflite")
    with pytest.raises(WrongUseError, match="onnx has no --precision float16.*openvino and tflite"):
        wanted_formats(["onnx"], "float16")
    with pytest.raises(WrongUseError, match="fast has no --precision int8, only float32"):
        wanted_formats(["fast", "all"], "int8")


def test_an_opset_that_cannot_be_written_is_a_sentence(shared: Run, tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match="99"):
        export_model(shared.path, tmp_path / "out", ExportRequest(("onnx",), opset=99, check=False))
    assert not (tmp_path / "out").exists()


def test_fast_wants_what_was_trained_for_it(shared: Run, tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match=r"profile 'paper'.*tissue\.threshold 20 -> 85.*--acc"):
        export_model(shared.path, tmp_path / "out", ExportRequest(("fast",)))
    card = open_source(shared.path).card
    changed = with_fast_preprocessing(card, fast_version=None, accept_change=True)
    fast = PROFILES["fast"]
    assert changed.preprocessing.tissue == fast.tissue
    assert changed.preprocessing.low_resolution == fast.low_resolution
    assert changed.preprocessing.patch.min_tissue == fast.patch.min_tissue
    # What the networks are made for stays.
    assert changed.preprocessing.patch.mpp == 2.0
    assert changed.preprocessing.patch.size_px == 32
    assert "trained with profile 'paper'" in changed.preprocessing_change
    trained_for_it = card.model_copy(update={"preprocessing": fast})
    for version in (None, "4.9"):
        same = with_fast_preprocessing(trained_for_it, fast_version=version, accept_change=False)
        assert same == trained_for_it
    with pytest.raises(
        WrongUseError, match=r"FAST 4.15 uses its own.*with --fast-version 4.9, for"
    ):
        with_fast_preprocessing(trained_for_it, fast_version="4.15", accept_change=False)
    other = with_fast_preprocessing(trained_for_it, fast_version="4.15", accept_change=True)
    assert other.preprocessing.patch.rule == "fast-4.15"
    assert "that of FAST 4.15: tissue.level fast-4.9 -> coarsest" in other.preprocessing_change


def test_a_bundle_has_one_preprocessing(bundle: Bundle, shared: Run) -> None:
    changed = ExportRequest(("onnx",), check=False, accept_preprocessing_change=True)
    before = hashes(bundle.path)
    with pytest.raises(RunError, match="openvino float32, tflite float32.*'paper'.*'fast'"):
        export_model(shared.path, bundle.path, changed)
    assert hashes(bundle.path) == before


def test_fast_pipelines(shared: Run, tmp_path: Path) -> None:
    """What they hold is tried in test_to_fast.py; here, that they are one export of the bundle."""
    request = ExportRequest(("onnx", "fast"), accept_preprocessing_change=True)
    bundle, (_, fast) = export_model(shared.path, tmp_path / "out", request)
    assert bundle.card.preprocessing.profile == "fast"
    assert fast.export.check.max_difference["refinement"] <= NETWORKS["refinement"].limit
    check_export(bundle, fast.export)
    assert any(name.endswith(".fpl") for name in fast.export.files)
    text = (bundle.path / MODEL_CARD_FILE).read_text("utf-8")
    assert "Differs from training" in text
    assert "scores do not apply" in text
    # A single refinement network has no heatmap to start from.
    with pytest.raises(WrongUseError, match="takes a heatmap, and no network makes one"):
        export_model(shared.model_file("refinement"), tmp_path / "other", request)
