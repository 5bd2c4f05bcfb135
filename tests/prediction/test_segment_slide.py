from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from h2g.inference import one_slide, patchwise

from h2g.errors import SlideError
from h2g.folders.predictions import SlideRequest, open_folder
from h2g.prediction.segment_slide import predict_slide
from tests.prediction.drawn_slides import GLASS, TUMOUR, ColourEngine, colour_model, draw, save_tiff

SQUARE = np.array([[128, 128], [383, 128], [383, 255], [128, 255]])


class SlowEngine(ColourEngine):
    """Takes 5 ms a call and 50 ms for a refinement."""

    def classify(self, patches: np.ndarray) -> np.ndarray:
        time.sleep(0.005)
        return super().classify(patches)

    def refine(self, image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return super().refine(image, heatmap)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """20 x 18 patches of 32 px, all tissue."""
    return save_tiff(tmp_path / "slide.tiff", draw((640, 576), shapes={TUMOUR: [SQUARE]}), 1.0)


def predict(slide: Path, engine: ColourEngine, out: Path):
    model = colour_model(engine)
    files = open_folder(out, model).files("slide")
    found = predict_slide(SlideRequest(slide), model, engine, files, threads=2, batch_size=16)
    return *found, files


def test_phases_sum_up_to_the_whole(slide: Path, tmp_path: Path) -> None:
    start = time.perf_counter()
    segmented, seconds, files = predict(slide, SlowEngine(refines=True), tmp_path / "out")
    whole = time.perf_counter() - start
    assert len(segmented.located.cells) == 20 * 18
    assert files.all_exist()
    # 360 patches in batches of 16 are 23 calls of 5 ms; reading may hide none of them.
    assert seconds.inference >= 23 * 0.005
    assert seconds.refinement >= 0.05
    for part in ("tissue", "read", "waiting", "stitching", "writing"):
        assert getattr(seconds, part) > 0, part
    parts = seconds.tissue + seconds.waiting + seconds.inference + seconds.stitching
    parts += seconds.refinement + seconds.writing
    assert parts == pytest.approx(seconds.total, rel=0.02)
    assert seconds.total == pytest.approx(whole, rel=0.1)


def test_without_a_refinement_network_there_is_no_such_time(slide: Path, tmp_path: Path) -> None:
    _, seconds, _ = predict(slide, ColourEngine(), tmp_path / "out")
    assert seconds.refinement == 0


def test_slow_reading_shows_as_waiting(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = patchwise.read_cell
    monkeypatch.setattr(patchwise, "read_cell", lambda *a: time.sleep(0.001) or plain(*a))
    _, seconds, _ = predict(slide, ColourEngine(), tmp_path / "out")
    # 360 reads of 1 ms and more on two threads; read has both threads' time.
    assert seconds.read >= 0.36
    assert seconds.waiting >= 0.36 / 2 * 0.5
    assert seconds.inference < seconds.waiting


def test_a_slide_that_fails_is_an_error(tmp_path: Path) -> None:
    blank = save_tiff(tmp_path / "blank.tiff", np.full((400, 400, 3), GLASS, np.uint8), 1.0)
    with pytest.raises(SlideError, match="no tissue found"):
        predict(blank, ColourEngine(), tmp_path / "out")


def test_a_picture_that_cannot_be_read_ends_the_reading_of_patches(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    plain = one_slide.read_batches

    def watched(*arguments, **more):
        batches = plain(*arguments, **more)
        close = batches.close
        batches.close = lambda: closed.append(True) or close()
        return batches

    def fail(*_) -> None:
        raise SlideError("slide.tiff: level 1 cannot be read.")

    monkeypatch.setattr(one_slide, "read_batches", watched)
    monkeypatch.setattr(one_slide, "read_low_resolution", fail)
    with pytest.raises(SlideError, match="level 1 cannot be read"):
        predict(slide, ColourEngine(), tmp_path / "out")
    assert closed == [True]
