from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import Feed
from h2g.errors import SlideError
from h2g.folders.predictions import SlideRequest
from h2g.prediction import segment_slide
from h2g.prediction.segment_slide import ChainSegmenter, predict_slide
from h2g.results.outputs import OUTPUTS, SlideFiles
from h2g.results.slide_state import Seconds, Segmented
from h2g.slides.reading import PatchPlan
from tests.prediction.drawn_slides import (
    GLASS,
    TUMOUR,
    ColourClassifier,
    ColourModel,
    ColourRefinement,
    colour_model,
    draw,
    save_tiff,
)

SQUARE = np.array([[128, 128], [383, 128], [383, 255], [128, 255]])


class SlowClassifier(ColourClassifier):
    """Takes 5 ms per call."""

    def run(self, inputs: Feed) -> np.ndarray:
        time.sleep(0.005)
        return super().run(inputs)


class SlowRefinement(ColourRefinement):
    """Takes 50 ms per call."""

    def run(self, inputs: Feed) -> np.ndarray:
        time.sleep(0.05)
        return super().run(inputs)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """20 x 18 patches of 32 px, all tissue."""
    return save_tiff(tmp_path / "slide.tiff", draw((640, 576), shapes={TUMOUR: [SQUARE]}), 1.0)


def predict(slide: Path, model: ColourModel, out: Path) -> tuple[Segmented, Seconds]:
    segmenter = ChainSegmenter(model, threads=2, batch_size=16)
    segmenter.open()
    return predict_slide(SlideRequest(slide), segmenter, SlideFiles(out, "slide"), threads=2)


def test_the_parts_sum_to_the_total(slide: Path, tmp_path: Path) -> None:
    start = time.perf_counter()
    out = tmp_path / "out"
    segmented, seconds = predict(slide, colour_model(SlowClassifier(), SlowRefinement()), out)
    whole = time.perf_counter() - start
    assert len(segmented.located.cells) == 20 * 18
    files = SlideFiles(out, "slide")
    assert all(files[output].is_file() for output in OUTPUTS)
    # 360 patches in batches of 16 are 23 calls of 5 ms; reading cannot hide any of them.
    assert seconds.networks["patch"] >= 23 * 0.005
    assert seconds.networks["refinement"] >= 0.05
    for part in ("tissue", "read", "waiting", "stitching", "writing"):
        assert getattr(seconds, part) > 0, part
    parts = seconds.tissue + seconds.waiting + seconds.stitching + seconds.writing
    parts += sum(seconds.networks.values())
    assert parts == pytest.approx(seconds.total, rel=0.02)
    assert seconds.total == pytest.approx(whole, rel=0.1)


def test_no_time_is_recorded_for_a_missing_network(slide: Path, tmp_path: Path) -> None:
    _, seconds = predict(slide, colour_model(), tmp_path / "out")
    assert list(seconds.networks) == ["patch"]


def test_slow_reading_is_recorded_as_waiting(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PatchPlan.read_cell
    monkeypatch.setattr(PatchPlan, "read_cell", lambda *a: time.sleep(0.001) or plain(*a))
    _, seconds = predict(slide, colour_model(), tmp_path / "out")
    # 360 reads of at least 1 ms on two threads; ``read`` sums both threads.
    assert seconds.read >= 0.36
    assert seconds.waiting >= 0.36 / 2 * 0.5
    assert seconds.networks["patch"] < seconds.waiting


def test_a_slide_that_fails_is_an_error(tmp_path: Path) -> None:
    blank = save_tiff(tmp_path / "blank.tiff", np.full((400, 400, 3), GLASS, np.uint8), 1.0)
    with pytest.raises(SlideError, match="no tissue found"):
        predict(blank, colour_model(), tmp_path / "out")


def test_an_unreadable_low_resolution_image_stops_reading_patches(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    plain = segment_slide.read_batches

    def watched(*arguments, **options):
        batches = plain(*arguments, **options)
        close = batches.close
        batches.close = lambda: closed.append(True) or close()
        return batches

    def fail(*_) -> None:
        raise SlideError("slide.tiff: level 1 cannot be read.")

    monkeypatch.setattr(segment_slide, "read_batches", watched)
    monkeypatch.setattr(segment_slide, "read_low_resolution", fail)
    with pytest.raises(SlideError, match="level 1 cannot be read"):
        predict(slide, colour_model(), tmp_path / "out")
    assert closed == [True]
