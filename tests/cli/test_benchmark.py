from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from h2g.benchmarking import benchmark
from h2g.benchmarking.row import RowResult, RowSettings, phases
from h2g.cli.main import main
from h2g.results.slide_state import Seconds

SECONDS = Seconds(
    tissue=1.0,
    read=1.0,
    waiting=1.0,
    stitching=1.0,
    networks={"patch": 1.0, "refinement": 1.0},
    writing=1.0,
    total=6.0,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle's card without files: what the command does around the rows needs no networks."""
    from h2g.folders.bundle import Card, Export, write_card
    from h2g.recipes.preprocessing import Preprocessing

    exports = [
        Export(format=format, precision="float32", h2g_version="0", networks={}, files={})
        for format in ("onnx", "openvino")
    ]
    card = Card(
        name="tiny",
        description="",
        class_names=("background", "tumour"),
        preprocessing=Preprocessing(),
        networks={},
        exports=tuple(exports),
    )
    write_card(tmp_path / "bundle", card)
    return tmp_path / "bundle"


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    (tmp_path / "slide.svs").write_text("a slide")
    return tmp_path / "slide.svs"


def times(monkeypatch: pytest.MonkeyPatch, **status_of_engine: str) -> list[RowSettings]:
    """Rows come out as told, without a process; what was asked for is kept."""
    asked: list[RowSettings] = []

    def row(settings: RowSettings, out: Path) -> RowResult:
        asked.append(settings)
        status = status_of_engine[settings.choice.engine]
        if status != "ok":
            return RowResult(settings=settings, status=status, reason="no abacus here.")
        return RowResult(
            settings=settings,
            status="ok",
            patches=10,
            peak_memory_mib=100,
            seconds=(phases(SECONDS),) * 2,
        )

    monkeypatch.setattr(benchmark, "time_row", row)
    return asked


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["benchmark", *map(str, arguments)])


def test_table_and_reasons(
    bundle: Path, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = times(monkeypatch, onnxruntime="ok", openvino="skipped")
    options = ["--precision", "float32", "--repeats", "2", "--workers", "3", "--mpp", "0.5"]
    result = invoke(bundle, "--slide", slide, "--out", tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    assert "openvino CPU float32: skipped, no abacus here." in result.stdout
    assert "onnxruntime" in result.stdout
    settings = asked[0]
    assert (settings.repeats, settings.warm_ups, settings.threads) == (2, 1, 3)
    assert (settings.mpp, settings.batch_size) == (0.5, 16)


def test_json_is_one_document(
    bundle: Path, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, onnxruntime="ok", openvino="ok")
    out = tmp_path / "out"
    result = invoke(bundle, "--slide", slide, "--out", out, "--json", "--precision", "float32")
    document = json.loads(result.stdout)
    assert document == json.loads((out / "benchmark.json").read_text())
    assert [row["engine"] for row in document["rows"]] == ["onnxruntime", "openvino"]


@pytest.mark.parametrize(
    ("statuses", "named"),
    [
        ({"onnxruntime": "ok", "openvino": "failed"}, "openvino CPU float32"),
        ({"onnxruntime": "skipped", "openvino": "skipped"}, "none could run"),
    ],
)
def test_exit_code_of_rows_without_times(
    bundle: Path,
    slide: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    statuses: dict[str, str],
    named: str,
) -> None:
    times(monkeypatch, **statuses)
    options = ["--out", tmp_path / "out", "--precision", "float32"]
    result = invoke(bundle, "--slide", slide, *options)
    assert result.exit_code == 1
    assert f"h2g: Not all rows were timed ({named})" in result.stderr


def test_wrong_use(bundle: Path, slide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = invoke(tmp_path, "--slide", slide, "--out", out)
    assert (result.exit_code, "not a model" in result.stderr) == (2, True)
    result = invoke(bundle, "--slide", tmp_path / "gone.svs", "--out", out)
    assert (result.exit_code, "gone.svs: no such file" in result.stderr) == (1, True)
    result = invoke(bundle, "--slide", slide, "--engine", "abacus", "--out", out)
    assert (result.exit_code, "abacus" in result.stderr) == (2, True)
    assert not out.exists()
