"""What FAST cannot do becomes a row or a sentence. That it agrees: tests/fast_pipelines."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from fast_bundles import fast_model
from fast_program import VERSION, need_fast, need_fast_python
from odd_slides import draw_blotches, write_odd_slide

from h2g.bundle import Bundle, write_card
from h2g.errors import RunError, WrongUseError
from h2g.inference.fast_engine import predict_slides_with_fast
from h2g.inference.fast_process import fast_version, find_fast, run_pipeline
from h2g.inference.folder import COLUMNS
from h2g.inference.requests import SlideRequest


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_odd_slide(
        tmp_path / "a slide.svs", size_px=(900, 700), downsamples=(2, 4), objective=10, mpp=1.0
    )


def program(path: Path, *, says: str, code: int = 0) -> Path:
    """A program in place of FAST's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nprint({says!r})\nraise SystemExit({code})\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# -- finding FAST


def test_the_variable_names_program_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = program(tmp_path / "env" / "bin" / "runPipeline", says="v1.2.3")
    for named in (runner, tmp_path / "env"):
        monkeypatch.setenv("H2G_FAST", str(named))
        assert find_fast() == runner
    assert fast_version() == "1.2.3"
    # The program that pip's script would start.
    packaged = tmp_path / "env" / "lib" / "python3.11" / "site-packages" / "fast" / "bin"
    real = program(packaged / "runPipeline", says="v4.5.6")
    assert find_fast() == real
    assert fast_version() == "4.5.6"
    monkeypatch.setenv("H2G_FAST", str(tmp_path / "nothing"))
    with pytest.raises(
        WrongUseError, match=r"\$H2G_FAST is .*nothing, .*pip install pyfast==4.15.1"
    ):
        find_fast()


def test_the_path_then_the_environment_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("H2G_FAST", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_fast() is None
    assert fast_version() is None
    beside = program(tmp_path / ".fast" / "bin" / "runPipeline", says="v1.2.3")
    assert find_fast() == beside
    on_path = program(tmp_path / "path" / "runPipeline", says="v1.2.4")
    assert find_fast() == on_path


def test_a_fast_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = program(tmp_path / "runPipeline", says="no OpenCL platform", code=127)
    monkeypatch.setenv("H2G_FAST", str(broken))
    with pytest.raises(WrongUseError, match=r"does not start \(no OpenCL platform\)"):
        fast_version()


def test_the_installed_fast_tells_its_version() -> None:
    assert need_fast().parts[-3:] == ("fast", "bin", "runPipeline")  # not pip's script around it
    assert fast_version() == VERSION


def test_nothing_installed(
    fast_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slide: Path
) -> None:
    monkeypatch.delenv("H2G_FAST", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(WrongUseError, match="FAST is not installed. python -m venv .fast"):
        predict_slides_with_fast(fast_model(fast_bundle), [SlideRequest(slide)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- what FAST says


def test_pip_scripts_end_well_whatever_happened(tmp_path: Path) -> None:
    said = "\x1b[31;1mERROR [1] Terminated with unhandled exception: No such level\n\x1b[0m"
    runner = program(tmp_path / "runPipeline", says=said)
    assert run_pipeline(runner, tmp_path / "a.fpl", {}) == "No such level"
    runner = program(tmp_path / "runPipeline", says="free(): invalid pointer", code=3)
    assert run_pipeline(runner, tmp_path / "a.fpl", {}) == (
        "it ended with code 3: free(): invalid pointer"
    )
    runner = program(tmp_path / "runPipeline", says="100%")
    assert run_pipeline(runner, tmp_path / "a.fpl", {}) is None


def test_fasts_own_words_are_the_reason(fast_bundle: Bundle, slide: Path, tmp_path: Path) -> None:
    need_fast()
    shutil.copytree(fast_bundle.path, tmp_path / "bundle")
    bundle = Bundle(tmp_path / "bundle", fast_bundle.card)
    network = bundle.network_file(bundle.card.exports[0], "patch")
    network.write_bytes(b"no network")
    (row,) = predict_slides_with_fast(fast_model(bundle), [SlideRequest(slide)], tmp_path / "out")
    assert row["status"] == "failed"
    assert row["reason"].startswith("a slide.svs: FAST stopped: ")
    assert "drawn-one-patch.onnx" in row["reason"]
    assert row["tissue_mm2"] > 0


def test_files_that_are_missing(
    fast_bundle: Bundle, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = program(tmp_path / "runPipeline", says="v4.15.1")
    monkeypatch.setenv("H2G_FAST", str(idle))
    (row,) = predict_slides_with_fast(
        fast_model(fast_bundle), [SlideRequest(slide)], tmp_path / "out"
    )
    assert "FAST ended without a whole heatmap" in row["reason"]


# -- slides


def test_slides_that_are_nothing_for_fast(
    fast_bundle: Bundle, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them starts FAST."""
    monkeypatch.setenv("H2G_FAST", str(program(tmp_path / "runPipeline", says="v0.0.1")))
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), draw_blotches((300, 200), seed=0))
    empty = tmp_path / "empty.svs"
    write_odd_slide(empty, size_px=(900, 700), downsamples=(4,), objective=10, mpp=1.0)
    _whiten(empty)
    cut = tmp_path / "cut.svs"
    cut.write_bytes(slide.read_bytes()[:20_000])
    requests = [
        SlideRequest(slide, mpp=0.5),
        SlideRequest(image, mpp=1.0),
        SlideRequest(empty),
        SlideRequest(cut, mpp=0.5),
        SlideRequest(tmp_path / "missing.svs"),
    ]
    rows = predict_slides_with_fast(fast_model(fast_bundle), requests, tmp_path / "out")
    assert {row["status"] for row in rows} == {"failed"}
    reasons = {row["slide"]: row["reason"] for row in rows}
    assert "0.5 um/px were given, but FAST goes by the slide, which has 1." in reasons["a slide"]
    assert "but FAST goes by the slide, which has none" in reasons["image"]
    assert "no tissue found (rule white-distance at 85)" in reasons["empty"]
    assert "FAST" not in reasons["cut"]
    assert "no such file" in reasons["missing"]
    assert all(list(row) == list(COLUMNS) for row in rows)


def _whiten(path: Path) -> None:
    import tifffile

    blank = np.full((700, 900, 3), 250, np.uint8)
    told = "Aperio Test|AppMag = 10|MPP = 1"
    tifffile.imwrite(
        path, blank, photometric="rgb", tile=(256, 256), description=told, metadata=None
    )


def test_a_slide_once(fast_bundle: Bundle, slide: Path, tmp_path: Path) -> None:
    """Given um/px that are the slide's own change nothing; what is done is skipped."""
    need_fast()
    model, out = fast_model(fast_bundle), tmp_path / "out"
    request = SlideRequest(slide, mpp=1.0)
    (row,) = predict_slides_with_fast(model, [request], out)
    assert (row["status"], row["mpp_source"]) == ("ok", "given"), row["reason"]
    assert row["seconds_total"] > row["seconds_writing"] > 0
    unknown = ["seconds_tissue", "seconds_read", "seconds_inference", "seconds_refinement"]
    assert [row[name] for name in unknown] == [None] * 4
    record = json.loads((out / "run.json").read_text())
    assert (record["engine"], record["fast"]) == ("fast", VERSION)
    heatmap = out / "heatmaps" / "a slide.tiff"
    written = heatmap.stat().st_mtime_ns
    assert predict_slides_with_fast(model, [request], out) == [row]
    assert heatmap.stat().st_mtime_ns == written


def test_bundles_without_pipelines(fast_bundle: Bundle, slide: Path, tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "b", fast_bundle.card.model_copy(update={"exports": ()}))
    bundle.path.mkdir()
    write_card(bundle.path, bundle.card)
    model = fast_model(fast_bundle)
    model = type(model)(**{**vars(model), "path": bundle.path})
    with pytest.raises(RunError, match="has no FAST pipelines. Export the run with --format fast"):
        predict_slides_with_fast(model, [SlideRequest(slide)], tmp_path / "out")


def test_fast_is_never_imported() -> None:
    """With TensorFlow in the same process it crashes; its Python is another one."""
    assert "fast" not in sys.modules
    assert os.path.realpath(need_fast_python().parent) != os.path.realpath(
        Path(sys.executable).parent
    )
