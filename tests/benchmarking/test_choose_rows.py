from __future__ import annotations

from pathlib import Path

import pytest

from h2g.benchmarking.benchmark import Protocol, row_settings
from h2g.benchmarking.choose_rows import Wanted, choices, network_files
from h2g.benchmarking.row import Choice
from h2g.errors import RunError, SlideError
from h2g.files import file_sha256
from h2g.folders.bundle import Card, Export, FilePrecision, Format, write_card
from h2g.hardware import Hardware
from h2g.recipes.preprocessing import Preprocessing

PLAIN = Hardware(
    cpu="Abacus", cores=2, instruction_sets=("avx2",), memory_gib=8, gpu=(), system="Linux"
)
BFLOAT16 = PLAIN.model_copy(update={"instruction_sets": ("avx2", "avx512_bf16")})
WITH_GPU = PLAIN.model_copy(update={"gpu": ("NVIDIA Abacus",)})
FILES: dict[tuple[Format, FilePrecision], tuple[str, ...]] = {
    ("onnx", "float32"): ("patch.onnx", "refinement.onnx"),
    ("onnx", "int8"): ("patch.int8.onnx", "refinement.int8.onnx"),
    ("openvino", "float32"): ("patch.xml", "patch.bin", "refinement.xml", "refinement.bin"),
    ("tflite", "float16"): ("patch.float16.tflite", "refinement.float16.tflite"),
    ("fast", "float32"): ("fast/patch.onnx", "fast/refinement.onnx", "fast/model.fpl"),
}


def bundle(folder: Path, *wanted: tuple[Format, FilePrecision]) -> Path:
    """A bundle whose networks are a few bytes."""
    exports = []
    for format, precision in wanted:
        names = FILES[format, precision]
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x" * 1024 + name.encode())
        exports.append(
            Export(
                format=format,
                precision=precision,
                h2g_version="0",
                networks={"patch": names[0]},
                files={name: file_sha256(folder / name) for name in names},
            )
        )
    card = Card(
        name="tiny",
        description="",
        class_names=("background", "tumour"),
        preprocessing=Preprocessing(),
        networks={},
        exports=tuple(exports),
    )
    write_card(folder, card)
    return folder


@pytest.fixture
def whole_bundle(tmp_path: Path) -> Path:
    return bundle(tmp_path / "bundle", *FILES)


def labels(wanted: Wanted, hardware: Hardware = PLAIN) -> list[str]:
    return [choice.label for choice in choices(wanted, hardware)]


def test_by_default_everything_that_there_are_files_for(whole_bundle: Path) -> None:
    rows = [
        "onnxruntime CPU float32",
        "onnxruntime CPU int8",
        "openvino CPU float32",
        "tflite CPU float16",
        "fast CPU float32",
    ]
    assert labels(Wanted((whole_bundle,))) == rows
    rows.insert(3, "openvino CPU bfloat16")
    assert labels(Wanted((whole_bundle,)), BFLOAT16) == rows


def test_a_run_is_keras_and_on_a_gpu_where_there_is_one(run: Path) -> None:
    assert labels(Wanted((run,))) == ["keras CPU float32"]
    assert labels(Wanted((run,)), WITH_GPU) == ["keras CPU float32", "keras GPU float32"]


def test_engines_that_are_asked_for_go_to_the_models_that_they_run(
    run: Path, whole_bundle: Path
) -> None:
    wanted = Wanted((run, whole_bundle), engines=("openvino", "keras"), precisions=("float32",))
    found = choices(wanted, PLAIN)
    assert [(c.model, c.label) for c in found] == [
        (run, "keras CPU float32"),
        (whole_bundle, "openvino CPU float32"),
    ]


def test_what_nothing_runs_is_still_a_row(whole_bundle: Path, run: Path) -> None:
    assert labels(Wanted((whole_bundle,), engines=("keras",))) == ["keras CPU float32"]
    wanted = Wanted((whole_bundle,), engines=("tflite",), devices=("GPU",), precisions=("int8",))
    assert labels(wanted) == ["tflite GPU int8"]
    assert network_files(choices(wanted, PLAIN)[0]) == {}


def test_openvino_takes_onnx_where_it_has_no_files_of_its_own(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle", ("onnx", "float32"))
    assert labels(Wanted((folder,))) == ["onnxruntime CPU float32"]
    choice = choices(Wanted((folder,), engines=("openvino",)), PLAIN)[0]
    assert set(network_files(choice)) == {"patch.onnx", "refinement.onnx"}


def test_the_size_of_a_model_is_that_of_its_networks(whole_bundle: Path, slide: Path) -> None:
    protocol = Protocol(slide, None, threads=1, batch_size=8, repeats=1, warm_ups=0)
    choice = Choice(model=whole_bundle, engine="openvino", device="CPU", precision="bfloat16")
    row = row_settings(choice, protocol)
    assert set(row.model_sha256) == set(FILES["openvino", "float32"])
    assert row.model_mib == pytest.approx(4 * 1024 / 2**20, abs=0.01)
    assert row.slide_bytes == slide.stat().st_size


def test_the_key_is_of_the_same_measurement_only(run: Path, protocol: Protocol) -> None:
    row = row_settings(choices(Wanted((run,)), PLAIN)[0], protocol)
    same = row_settings(choices(Wanted((run,)), PLAIN)[0], protocol)
    key = row.key(PLAIN, {"h2g": "1"})
    assert key == same.key(PLAIN, {"h2g": "1"})
    others = {
        row.key(WITH_GPU, {"h2g": "1"}),
        row.key(PLAIN, {"h2g": "2"}),
        row.model_copy(update={"repeats": 3}).key(PLAIN, {"h2g": "1"}),
        row.model_copy(update={"model_sha256": {}}).key(PLAIN, {"h2g": "1"}),
        row.model_copy(update={"slide_bytes": 1}).key(PLAIN, {"h2g": "1"}),
    }
    assert len(others | {key}) == 6


def test_what_is_no_model_or_no_slide(tmp_path: Path, run: Path, protocol: Protocol) -> None:
    with pytest.raises(RunError, match="not a model"):
        choices(Wanted((tmp_path,)), PLAIN)
    choice = choices(Wanted((run,)), PLAIN)[0]
    missing = Protocol(tmp_path / "gone.svs", None, threads=1, batch_size=1, repeats=1, warm_ups=0)
    with pytest.raises(SlideError, match=r"gone.svs: no such file"):
        row_settings(choice, missing)
