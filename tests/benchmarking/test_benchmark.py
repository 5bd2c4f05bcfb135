"""Rows in real processes; those of Keras take seconds to start, so one benchmark is shared."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from h2g.benchmarking import benchmark
from h2g.benchmarking.benchmark import Protocol, run_benchmark, time_row
from h2g.benchmarking.child import Child, run_child
from h2g.benchmarking.choose_rows import Wanted
from h2g.benchmarking.row import Choice, RowResult, RowSettings


@dataclass(frozen=True)
class Timed:
    wanted: Wanted
    protocol: Protocol
    out: Path
    rows: list[RowResult]


@pytest.fixture(scope="module")
def timed_run(
    run: Path, bundle: Path, slide: Path, tmp_path_factory: pytest.TempPathFactory
) -> Timed:
    """Keras, ONNX Runtime, and an engine that the bundle has no files for."""
    protocol = Protocol(slide, None, threads=2, batch_size=16, repeats=2, warm_ups=1)
    engines = ("keras", "onnxruntime", "tflite")
    wanted = Wanted((run, bundle), engines, devices=("CPU",), precisions=("float32",))
    out = tmp_path_factory.mktemp("benchmark") / "out"
    return Timed(wanted, protocol, out, run_benchmark(wanted, protocol, out))


@pytest.mark.parametrize("number", [0, 1])
def test_rows_that_run(timed_run: Timed, number: int) -> None:
    row = timed_run.rows[number]
    assert row.settings.choice.engine == ("keras", "onnxruntime")[number]
    assert (row.status, row.reason, row.device, row.precision) == ("ok", "", "CPU", "float32")
    # An ellipse of 400 x 300 px is 94,000 px, 92 patches of 32 px; a quarter is enough to count.
    assert row.patches is not None
    assert 92 <= row.patches <= 130
    assert len(row.seconds) == 2, "the warm-up is not counted"
    for repeat in row.seconds:
        wall = [seconds for phase, seconds in repeat.items() if phase not in ("read", "total")]
        assert all(seconds is not None and seconds > 0 for seconds in repeat.values()), repeat
        # What stands between the parts: 5 %, or 50 ms on a machine that is busy with other things.
        assert sum(wall) == pytest.approx(repeat["total"], rel=0.05, abs=0.05)
    assert row.open_s > 0
    assert row.peak_memory_mib > 50
    assert row.settings.model_mib > 0.2
    assert row.hardware is not None
    assert "numpy" in row.versions


def test_opening_the_engine_is_in_no_repeat(timed_run: Timed) -> None:
    """Keras takes seconds to load, and memory that is not in the next row's peak."""
    keras, onnx, _ = timed_run.rows
    assert keras.open_s > keras.mean_s["total"]
    assert onnx.peak_memory_mib < keras.peak_memory_mib


def test_a_row_that_cannot_run_has_the_reason(timed_run: Timed) -> None:
    row = timed_run.rows[2]
    assert row.settings.choice.engine == "tflite"
    assert row.status == "skipped"
    assert "tflite" in row.reason


def test_what_is_written(timed_run: Timed) -> None:
    document = json.loads((timed_run.out / "benchmark.json").read_text())
    assert [row["status"] for row in document["rows"]] == ["ok", "ok", "skipped"]
    for name in ("benchmark.csv", "benchmark.md", "benchmark.png"):
        assert (timed_run.out / name).stat().st_size > 0
    assert not list(timed_run.out.rglob(".*")), "the slide's outputs are gone"


def test_a_rerun_takes_what_is_done(timed_run: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def note(settings: RowSettings, out: Path) -> RowResult:
        started.append(settings.choice.label)
        return RowResult(settings=settings, status="skipped", reason="again")

    monkeypatch.setattr(benchmark, "time_row", note)
    again = run_benchmark(timed_run.wanted, timed_run.protocol, timed_run.out)
    assert again[:2] == timed_run.rows[:2]
    assert started == ["tflite CPU float32"], "only what did not run is tried again"
    other = Protocol(**{**vars(timed_run.protocol), "repeats": 3})
    run_benchmark(timed_run.wanted, other, timed_run.out)
    assert started[1:] == ["keras CPU float32", "onnxruntime CPU float32", "tflite CPU float32"]


def test_ctrl_c_keeps_the_rows_that_are_done(
    timed_run: Timed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(settings: RowSettings, out: Path) -> RowResult:
        if settings.choice.engine == "onnxruntime":
            raise KeyboardInterrupt
        return timed_run.rows[0]

    monkeypatch.setattr(benchmark, "time_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(timed_run.wanted, timed_run.protocol, tmp_path)
    document = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["engine"] for row in document["rows"]] == ["keras"]
    assert (tmp_path / "benchmark.png").exists()


def test_a_process_that_dies_is_a_failed_row(
    timed_run: Timed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(module: str, settings: RowSettings, folder: Path) -> tuple[Child, Path]:
        code = "import os, sys; print('no abacus', file=sys.stderr, flush=True); os._exit(7)"
        return run_child([sys.executable, "-c", code], device="CPU"), folder / "result.json"

    monkeypatch.setattr(benchmark, "run_module", die)
    row = time_row(timed_run.rows[0].settings, tmp_path)
    assert row.status == "failed"
    assert row.reason == "its process ended with 7: no abacus"


def test_a_slide_that_cannot_be_read_is_a_failed_row(timed_run: Timed, tmp_path: Path) -> None:
    broken = tmp_path / "broken.svs"
    broken.write_text("no slide")
    settings = timed_run.rows[0].settings.model_copy(update={"slide": broken})
    row = time_row(settings, tmp_path)
    assert row.status == "failed"
    assert "broken.svs: OpenSlide does not know this format" in row.reason


def test_a_model_that_is_none_is_a_skipped_row(timed_run: Timed, tmp_path: Path) -> None:
    settings = timed_run.rows[0].settings
    nowhere = Choice(model=tmp_path, engine="keras", device="CPU", precision="float32")
    row = time_row(settings.model_copy(update={"choice": nowhere}), tmp_path)
    assert row.status == "skipped"
    assert "not a model" in row.reason
