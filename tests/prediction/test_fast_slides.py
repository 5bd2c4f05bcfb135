"""What FAST cannot do becomes a row or a sentence. That it agrees: tests/fast_pipelines."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from h2g.prediction.fast_engine import predict_slides_with_fast

from h2g.engines import fast_process
from h2g.engines.fast_process import Fast, failed_fasts, installed_fasts, run_pipeline
from h2g.errors import RunError, WrongUseError
from h2g.fast_versions import FAST_VERSIONS, FastName
from h2g.folders.bundle import Bundle, write_card
from h2g.folders.predictions import COLUMNS, SlideRequest
from tests.fast_bundles import fast_model
from tests.fast_program import need_fast, need_fast_python
from tests.odd_slides import GLASS, draw_blotches, write_odd_slide


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_odd_slide(
        tmp_path / "a slide.svs", size_px=(1400, 1100), downsamples=(2, 4), objective=10, mpp=1.0
    )


def program(path: Path, *, says: str, code: int = 0) -> Path:
    """A program in place of FAST's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nprint({says!r})\nraise SystemExit({code})\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# -- finding FAST


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder .fast beside h2g's environment, with no FAST there or anywhere else."""
    monkeypatch.delenv("H2G_FAST", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / ".fast"


def install(beside: Path, *versions: str) -> list[Fast]:
    """Programs that tell these versions, as pip would put them in place."""
    return [
        Fast(program(beside / each / "bin" / "runPipeline", says=f"v{each}"), each)
        for each in versions
    ]


def test_the_newest_of_all_places_is_first(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed_fasts() == []
    older, newer = install(beside, "4.9.2", "4.15.1")
    (beside / "empty").mkdir()
    on_path = Fast(program(tmp_path / "path" / "runPipeline", says="v4.10.0"), "4.10.0")
    named = Fast(program(tmp_path / "named" / "runPipeline", says="v4.17.1"), "4.17.1")
    monkeypatch.setenv("H2G_FAST", str(named.runner))
    assert installed_fasts() == [named, newer, on_path, older]
    monkeypatch.setenv("H2G_FAST", str(beside / "4.9.2"))
    assert installed_fasts() == [newer, on_path, older]


def test_the_program_behind_pips_script(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = install(beside, "4.9.1")
    environment = beside / "4.9.1"
    packaged = environment / "lib" / "python3.11" / "site-packages" / "fast" / "bin"
    real = program(packaged / "runPipeline", says="v4.9.2")
    assert installed_fasts() == [Fast(real, "4.9.2")]
    for named in (script.runner, environment):
        monkeypatch.setenv("H2G_FAST", str(named))
        assert fast_process.need_fast(FAST_VERSIONS["4.9"]) == Fast(real, "4.9.2")


def test_a_version_is_asked_for_once(beside: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    runner = beside / "4.9.2" / "bin" / "runPipeline"
    runner.parent.mkdir(parents=True)
    runner.write_text(f"#!/bin/sh\necho asked >> '{count}'\necho v4.9.2\n")
    runner.chmod(0o755)
    assert installed_fasts() == installed_fasts() == [Fast(runner, "4.9.2")]
    assert count.read_text() == "asked\n"


def test_the_tested_version_is_preferred(beside: Path) -> None:
    others = install(beside, "4.9.0", "4.9.1", "4.12.0", "4.15.0")
    assert fast_process.need_fast(FAST_VERSIONS["4.9"]) == others[1]  # the newest of the group
    assert fast_process.need_fast(FAST_VERSIONS["4.15"]) == others[3]
    tested = install(beside, "4.9.2", "4.15.1")
    assert [fast_process.need_fast(each) for each in FAST_VERSIONS.values()] == tested


def test_the_variable_is_the_only_choice(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other = install(beside, "4.9.2", "4.15.1")
    monkeypatch.setenv("H2G_FAST", str(other.runner))
    assert fast_process.need_fast(FAST_VERSIONS["4.15"]) == other
    with pytest.raises(WrongUseError) as caught:
        fast_process.need_fast(FAST_VERSIONS["4.9"])
    assert str(caught.value) == (
        "The bundle is for FAST 4.9.0 to 4.9.2, and $H2G_FAST names FAST 4.15.1, tested, for "
        f"bundles of FAST 4.15: {other.runner}. Unset it or let it name FAST 4.9.2; or export the "
        "run for the FAST that is here: h2g export RUN --format fast --fast-version 4.15 --out "
        "BUNDLE."
    )
    monkeypatch.setenv("H2G_FAST", str(tmp_path / "nothing"))
    with pytest.raises(WrongUseError, match=r"\$H2G_FAST is .*nothing, which is neither FAST's"):
        fast_process.need_fast(FAST_VERSIONS["4.15"])
    assert len(installed_fasts()) == 2
    assert failed_fasts()[0].startswith("$H2G_FAST is ")


def test_a_fast_of_the_other_group(beside: Path) -> None:
    (fast,) = install(beside, "4.15.1")
    with pytest.raises(WrongUseError) as caught:
        fast_process.need_fast(FAST_VERSIONS["4.9"])
    assert str(caught.value) == (
        "The bundle is for FAST 4.9.0 to 4.9.2; found: 4.15.1, tested, for bundles of FAST "
        f"4.15: {fast.runner}. Install FAST 4.9.2: make fast-environment FAST=4.9.2 in a checkout "
        "of h2g, or python -m venv .fast/4.9.2 && .fast/4.9.2/bin/pip install pyfast==4.9.2 beside "
        "h2g's environment; or export the run for the FAST that is here: h2g export RUN --format "
        "fast --fast-version 4.15 --out BUNDLE."
    )


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("4.5.0", "4.5.0, too old for h2g (tested are 4.9.2 and 4.15.1): "),
        ("4.12.0", "4.12.0, not tested with h2g (tested are 4.9.2 and 4.15.1): "),
        ("4.18.0", "4.18.0, not tested with h2g (tested are 4.9.2 and 4.15.1): "),
    ],
)
def test_a_fast_that_runs_no_bundle(beside: Path, version: str, said: str) -> None:
    install(beside, version)
    for wanted in FAST_VERSIONS.values():
        with pytest.raises(WrongUseError) as caught:
            fast_process.need_fast(wanted)
        assert said in str(caught.value)
        assert "--fast-version" not in str(caught.value)


def test_a_fast_that_does_not_start(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = program(beside / "4.9.2" / "bin" / "runPipeline", says="no OpenCL platform", code=127)
    sentence = f"{broken}: FAST does not start (no OpenCL platform)."
    assert (installed_fasts(), failed_fasts()) == ([], [sentence])
    with pytest.raises(WrongUseError, match=r"found: .*does not start \(no OpenCL platform\)"):
        fast_process.need_fast(FAST_VERSIONS["4.9"])
    monkeypatch.setenv("H2G_FAST", str(broken))
    with pytest.raises(WrongUseError, match=r"does not start \(no OpenCL platform\)"):
        fast_process.need_fast(FAST_VERSIONS["4.9"])
    no_program = tmp_path / "text"
    no_program.write_text("v4.9.2")
    monkeypatch.setenv("H2G_FAST", str(no_program))
    with pytest.raises(WrongUseError, match=r"cannot be run \(Permission denied\)"):
        fast_process.need_fast(FAST_VERSIONS["4.9"])


@pytest.mark.fast
@pytest.mark.parametrize("name", ["4.9", "4.15"])
def test_the_installed_fast_tells_its_version(name: FastName) -> None:
    runner = need_fast(name)
    assert runner.parts[-3:] == ("fast", "bin", "runPipeline")  # not pip's script around it
    assert Fast(runner, FAST_VERSIONS[name].tested) in installed_fasts()


def test_nothing_installed(fast_bundle: Bundle, beside: Path, tmp_path: Path, slide: Path) -> None:
    with pytest.raises(WrongUseError, match=r"no FAST is installed. Install FAST 4\.\d+\.\d: "):
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


def test_a_fast_that_never_ends_is_killed(tmp_path: Path) -> None:
    runner = program(tmp_path / "runPipeline", says="50%")
    runner.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    start = time.monotonic()
    said = run_pipeline(runner, tmp_path / "a.fpl", {}, timeout_s=0.5)
    assert said == "it did not end within 0.5 seconds"
    assert time.monotonic() - start < 30


@pytest.mark.fast
def test_fasts_own_words_are_the_reason(fast_bundle: Bundle, slide: Path, tmp_path: Path) -> None:
    need_fast("4.9")
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
    idle = program(tmp_path / "runPipeline", says="v4.9.2")
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
    monkeypatch.setenv("H2G_FAST", str(program(tmp_path / "runPipeline", says="v4.9.2")))
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), draw_blotches((300, 200), seed=0))
    blank = np.full((1100, 1400, 3), 250, np.uint8)
    empty = write_aperio(tmp_path / "empty.svs", "Aperio Test|AppMag = 10|MPP = 1", [blank])
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


def test_what_4_9_misreads(
    fast_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused with the reason: FAST would wait for ever, or see other pixels. None starts it."""
    monkeypatch.setenv("H2G_FAST", str(program(tmp_path / "runPipeline", says="v4.9.2")))
    blotches = draw_blotches((2003, 1603), seed=1)
    spot = np.full((1603, 2003, 3), GLASS, np.uint8)
    spot[256:384, 256:384] = (150, 60, 120)  # a patch of 64 px at 2 um/px is 128 of level 0
    told = "Aperio Test|AppMag = 10"
    levels = {
        "small": (f"{told}|MPP = 1", [blotches[:900, :900]]),
        "bare": (told, [blotches]),
        # 2003 / 1152 is 1.74, read as if it were 1.
        "rounded up": (f"{told}|MPP = 0.9", [blotches, cv2.resize(blotches, (1152, 1152))]),
        "spot": (f"{told}|MPP = 1", [spot]),
    }
    files = [
        write_aperio(tmp_path / f"{name}.svs", description, pixels)
        for name, (description, pixels) in levels.items()
    ]
    model = fast_model(fast_bundle)
    rows = predict_slides_with_fast(model, [SlideRequest(f) for f in files], tmp_path / "out")
    reasons = {row["slide"]: row["reason"] for row in rows}
    assert "900 x 900 px are too few for FAST 4.9" in reasons["small"]
    assert "no um/px in the slide's properties, and FAST 4.9 goes by nothing" in reasons["bare"]
    assert "FAST 4.9 reads level 1 in wrong places" in reasons["rounded up"]
    assert "a single patch holds tissue, and FAST 4.9 waits for ever" in reasons["spot"]
    assert all("or a bundle for FAST 4.15." in reason for reason in reasons.values())


def write_aperio(path: Path, description: str, levels: list[np.ndarray]) -> Path:
    import tifffile

    options = {"photometric": "rgb", "tile": (256, 256), "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        for number, level in enumerate(levels):
            tiff.write(level, subfiletype=int(number > 0), description=description, **options)
    return path


@pytest.mark.fast
def test_a_slide_once(fast_bundle: Bundle, slide: Path, tmp_path: Path) -> None:
    """Given um/px that are the slide's own change nothing; what is done is skipped."""
    need_fast("4.9")
    model, out = fast_model(fast_bundle), tmp_path / "out"
    request = SlideRequest(slide, mpp=1.0)
    (row,) = predict_slides_with_fast(model, [request], out)
    assert (row["status"], row["mpp_source"]) == ("ok", "given"), row["reason"]
    assert row["seconds_total"] > row["seconds_writing"] > 0
    unknown = ["seconds_tissue", "seconds_read", "seconds_inference", "seconds_refinement"]
    assert [row[name] for name in unknown] == [None] * 4
    record = json.loads((out / "run.json").read_text())
    assert (record["engine"], record["fast"]) == ("fast", FAST_VERSIONS["4.9"].tested)
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


@pytest.mark.fast
def test_fast_is_never_imported() -> None:
    """With TensorFlow in the same process it crashes; its Python is another one."""
    assert "fast" not in sys.modules
    assert os.path.realpath(need_fast_python().parent) != os.path.realpath(
        Path(sys.executable).parent
    )
