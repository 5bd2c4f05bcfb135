"""Failures of FAST become rows or sentences. Agreement is tested in tests/fast_pipelines."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from h2g.errors import RunError, WrongUseError
from h2g.fast_versions import FAST_VERSIONS
from h2g.folders.bundle import Bundle, write_card
from h2g.folders.predictions import COLUMNS, SlideRequest
from h2g.prediction.predict_slides import predict_slides
from tests.fast_bundles import fast_model
from tests.fast_program import need_fast, program
from tests.odd_slides import GLASS, draw_blotches, write_odd_slide


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_odd_slide(
        tmp_path / "a slide.svs", size_px=(1400, 1100), downsamples=(2, 4), objective=10, mpp=1.0
    )


def test_nothing_installed(
    fast_bundle: Bundle, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("H2G_FAST", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    with pytest.raises(WrongUseError, match=r"no FAST is installed. Install FAST 4\.\d+\.\d: "):
        predict_slides(fast_model(fast_bundle), [SlideRequest(slide)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.fast
def test_the_reason_quotes_fast(fast_bundle: Bundle, slide: Path, tmp_path: Path) -> None:
    need_fast("4.9")
    shutil.copytree(fast_bundle.path, tmp_path / "bundle")
    bundle = Bundle(tmp_path / "bundle", fast_bundle.card)
    network = bundle.path / bundle.card.exports[0].networks["patch"]
    network.write_bytes(b"no network")
    (row,) = predict_slides(fast_model(bundle), [SlideRequest(slide)], tmp_path / "out")
    assert row["status"] == "failed"
    assert row["reason"].startswith("a slide.svs: FAST stopped: ")
    assert "drawn-one-patch.onnx" in row["reason"]
    assert row["tissue_mm2"] > 0


def test_files_that_are_missing(
    fast_bundle: Bundle,
    slide: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO, logger="h2g")
    idle = program(tmp_path / "runPipeline", says="v4.9.2")
    monkeypatch.setenv("H2G_FAST", str(idle))
    (row,) = predict_slides(fast_model(fast_bundle), [SlideRequest(slide)], tmp_path / "out")
    assert "FAST wrote no complete heatmap" in row["reason"]
    assert "a slide in FAST" in capsys.readouterr().err  # the progress bar


# -- slides


def test_slides_that_fast_cannot_segment(
    fast_bundle: Bundle, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAST is started for none of them."""
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
    rows = predict_slides(fast_model(fast_bundle), requests, tmp_path / "out")
    assert {row["status"] for row in rows} == {"failed"}
    reasons = {row["slide"]: row["reason"] for row in rows}
    assert "0.5 um/px were given, but FAST uses the slide's own (1)." in reasons["a slide"]
    assert "but FAST uses the slide's own (none)" in reasons["image"]
    assert "no tissue found (rule white-distance at 85)" in reasons["empty"]
    assert "FAST" not in reasons["cut"]
    assert "no such file" in reasons["missing"]
    assert all(list(row) == list(COLUMNS) for row in rows)


def test_slides_that_4_9_misreads(
    fast_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slides that FAST would never finish, or misread, fail with the reason before it starts."""
    monkeypatch.setenv("H2G_FAST", str(program(tmp_path / "runPipeline", says="v4.9.2")))
    blotches = draw_blotches((2003, 1603), seed=1)
    spot = np.full((1603, 2003, 3), GLASS, np.uint8)
    spot[256:384, 256:384] = (150, 60, 120)  # a patch of 64 px at 2 um/px is 128 of level 0
    description = "Aperio Test|AppMag = 10"
    levels = {
        "small": (f"{description}|MPP = 1", [blotches[:900, :900]]),
        "bare": (description, [blotches]),
        # 2003 / 1152 is 1.74, read as if it were 1.
        "rounded up": (f"{description}|MPP = 0.9", [blotches, cv2.resize(blotches, (1152, 1152))]),
        "spot": (f"{description}|MPP = 1", [spot]),
    }
    files = [
        write_aperio(tmp_path / f"{name}.svs", header, pixels)
        for name, (header, pixels) in levels.items()
    ]
    model = fast_model(fast_bundle)
    rows = predict_slides(model, [SlideRequest(f) for f in files], tmp_path / "out")
    reasons = {row["slide"]: row["reason"] for row in rows}
    assert "900 x 900 px are too few for FAST 4.9" in reasons["small"]
    assert "no um/px where FAST 4.9 looks for it" in reasons["bare"]
    assert "FAST 4.9 reads level 1 at wrong places" in reasons["rounded up"]
    assert "only one patch holds tissue, and FAST 4.9 waits for a second one" in reasons["spot"]
    assert all("or a bundle for FAST 4.15." in reason for reason in reasons.values())


def write_aperio(path: Path, description: str, levels: list[np.ndarray]) -> Path:
    import tifffile

    options = {"photometric": "rgb", "tile": (256, 256), "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        for number, level in enumerate(levels):
            tiff.write(level, subfiletype=int(number > 0), description=description, **options)
    return path


@pytest.mark.fast
def test_a_finished_slide_is_skipped(fast_bundle: Bundle, slide: Path, tmp_path: Path) -> None:
    """um/px that equal the slide's own change nothing."""
    need_fast("4.9")
    model, out = fast_model(fast_bundle), tmp_path / "out"
    request = SlideRequest(slide, mpp=1.0)
    (row,) = predict_slides(model, [request], out)
    assert (row["status"], row["mpp_source"]) == ("ok", "given"), row["reason"]
    assert row["seconds_total"] > row["seconds_writing"] > 0
    unknown = ["seconds_tissue", "seconds_read", "seconds_patch", "seconds_refinement"]
    assert [row[name] for name in unknown] == [None] * 4
    record = json.loads((out / "run.json").read_text())
    assert (record["engine"], record["fast"]) == ("fast", FAST_VERSIONS["4.9"].tested)
    heatmap = out / "heatmaps" / "a slide.tiff"
    written = heatmap.stat().st_mtime_ns
    assert predict_slides(model, [request], out) == [row]
    assert heatmap.stat().st_mtime_ns == written


def test_bundles_without_pipelines(fast_bundle: Bundle, slide: Path, tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "b", fast_bundle.card.model_copy(update={"exports": ()}))
    bundle.path.mkdir()
    write_card(bundle.path, bundle.card)
    model = dataclasses.replace(fast_model(fast_bundle), path=bundle.path)
    with pytest.raises(RunError, match="has no FAST pipelines. Export the run with --format fast"):
        predict_slides(model, [SlideRequest(slide)], tmp_path / "out")
