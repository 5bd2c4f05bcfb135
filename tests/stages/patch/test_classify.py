"""The heatmap of a slide: its patches, their batches, and the bound on waiting patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import Feed
from h2g.errors import SlideError
from h2g.slides import tissue_patches
from h2g.slides.info import Level, slide_info
from h2g.slides.reading import PatchPlan, open_slide
from h2g.slides.tissue import find_tissue
from h2g.stages.patch.classify import HeatmapCells, classify_slide
from tests.plain_plans import plain_plan
from tests.prediction.drawn_slides import (
    GLASS,
    PREPROCESSING,
    TUMOUR,
    ColourClassifier,
    draw,
    save_tiff,
)


def square(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    return np.array([[left, top], [right - 1, top], [right - 1, bottom - 1], [left, bottom - 1]])


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A slide of 650 x 350 px at 1 um/px, with 21 x 11 patches of 32 px.

    The last patches are partly beyond the slide. Tissue is on columns 2 to 15 and rows 1 to 8,
    tumour on columns 4 to 7 and rows 2 to 4.
    """
    tissue = square(64, 32, 512, 288)
    image = draw((650, 350), tissue=tissue, shapes={TUMOUR: [square(128, 64, 256, 160)]})
    return save_tiff(tmp_path / "slide.tiff", image, 1.0)


def classify(slide: Path, network: ColourClassifier, **options):
    return classify_slide(slide, None, network, PREPROCESSING, **{"threads": 2, **options})


def test_every_cell_of_tissue_has_its_probability(slide: Path) -> None:
    found = classify(slide, ColourClassifier())
    assert found.heatmap.values.shape == (11, 21, 2)
    assert found.heatmap.values.dtype == np.float32
    assert found.heatmap.step_level0 == 32
    assert found.heatmap.frame.field_level0 == (650, 350)
    tumour = found.heatmap.values[..., 1] > 0.5
    expected = np.zeros((11, 21), bool)
    expected[2:5, 4:8] = True
    np.testing.assert_array_equal(tumour, expected)
    classified = found.heatmap.values.sum(axis=-1)
    # Closing may add a pixel of 8 um around the tissue, a quarter of a patch, which is too little.
    expected = np.zeros((11, 21), bool)
    expected[1:9, 2:16] = True
    np.testing.assert_allclose(classified[expected], 1, atol=1e-6)
    assert (classified[~expected] == 0).all(), "skipped patches are 0 in every channel"
    assert found.patches == 8 * 14
    assert found.tissue.area_mm2 == pytest.approx(448 * 256 / 1e6, rel=0.1)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 16, 200])
def test_batches_and_threads_change_nothing(slide: Path, threads: int, batch_size: int) -> None:
    network = ColourClassifier()
    found = classify(slide, network, threads=threads, batch_size=batch_size)
    whole, rest = divmod(112, batch_size)
    assert network.classified == [batch_size] * whole + [rest] * (rest > 0)
    np.testing.assert_array_equal(
        found.heatmap.values, classify(slide, ColourClassifier()).heatmap.values
    )


def test_a_tissue_mask_that_is_given_is_used(slide: Path) -> None:
    with open_slide(slide) as opened:
        tissue = find_tissue(opened, PREPROCESSING.tissue)
    tissue.mask[:, : tissue.mask.shape[1] // 2] = False
    found = classify(slide, ColourClassifier(), tissue=tissue)
    assert found.tissue is tissue
    # Cell 10 is half in the other half of the field, which starts at 325 px.
    assert not found.heatmap.values[:, :10].any()
    assert found.patches == 8 * 6


def test_a_given_mpp_overrides_the_slides(slide: Path) -> None:
    found = classify_slide(slide, 0.5, ColourClassifier(), PREPROCESSING, threads=2)
    # 32 um are 64 px of level 0 now.
    assert found.heatmap.step_level0 == 64
    assert found.heatmap.frame.mpp == 0.5
    assert found.info.mpp_source == "given"


def test_the_number_of_waiting_patches_is_bounded(
    slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading is never further ahead of the classifier than the bound."""
    monkeypatch.setattr(tissue_patches, "WAITING_BYTES", 0)
    read: list[int] = []
    plain = PatchPlan.read_cell
    monkeypatch.setattr(PatchPlan, "read_cell", lambda *a: read.append(1) or plain(*a))
    network = ColourClassifier()
    most = 0
    run = network.run

    def watched(inputs: Feed) -> np.ndarray:
        nonlocal most
        most = max(most, len(read) - sum(network.classified))
        return run(inputs)

    monkeypatch.setattr(network, "run", watched)
    classify(slide, network, threads=2, batch_size=4)
    assert len(read) == 112
    # 4 patches are in use, and 2 * threads batches of 4 are waiting or being read.
    assert 4 <= most <= 4 + 2 * 2 * 4


def test_a_blank_slide_is_reported(tmp_path: Path) -> None:
    blank = save_tiff(tmp_path / "blank.tiff", np.full((400, 400, 3), GLASS, np.uint8), 1.0)
    with pytest.raises(SlideError, match=r"blank.tiff: no tissue found \(rule saturation at 20\)"):
        classify(blank, ColourClassifier())


def test_specks_of_tissue_are_too_little_for_a_patch(tmp_path: Path) -> None:
    image = draw((640, 640), tissue=square(120, 120, 136, 136))
    specks = save_tiff(tmp_path / "specks.tiff", image, 1.0)
    with pytest.raises(SlideError, match="no patch has more than 25% tissue"):
        classify(specks, ColourClassifier())


def test_a_truncated_slide_is_named(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_) -> np.ndarray:
        raise SlideError("slide.tiff: level 0 cannot be read.")

    monkeypatch.setattr(PatchPlan, "read_cell", fail)
    with pytest.raises(SlideError, match="level 0 cannot be read"):
        classify(slide, ColourClassifier())


# -- cells

# 3 x 4 patches of 48 level-0 pixels.
PLAN = plain_plan(48, rows=3, cols=4, field_level0=(192, 144))
INFO = slide_info(Path("a.svs"), {}, [Level((192, 144), 1.0)], mpp=0.5)


def test_cells_are_at_their_patches_places() -> None:
    # Patch (1, 2) covers rows 2 and 3 and columns 4 and 5 of its 2 x 2 cells.
    answers = np.array([[[[0.9], [0.1]], [[0.2], [0.8]]]], np.float32)
    filled = HeatmapCells(PLAN)
    filled.put(np.array([[1, 2]]), answers)
    heatmap = filled.heatmap(INFO)
    expected = np.zeros((6, 8), np.float32)
    expected[2, 4:6], expected[3, 4:6] = (0.9, 0.1), (0.2, 0.8)
    np.testing.assert_array_equal(heatmap.values[..., 0], expected)
    assert (heatmap.step_level0, heatmap.mpp, heatmap.frame.field_level0) == (24, 12, (192, 144))


@pytest.mark.parametrize("side", [1, 2, 6])
def test_the_cells_of_a_patch_are_found_again(side: int) -> None:
    answers = np.random.default_rng(0).random((12, side, side, 3), np.float32)
    patches = np.argwhere(np.ones((3, 4), bool))
    order = np.random.default_rng(1).permutation(12)
    filled = HeatmapCells(PLAN)
    for batch in (order[:5], order[5:6], order[6:]):
        filled.put(patches[batch], answers[batch])
    heatmap = filled.heatmap(INFO)
    assert heatmap.values.shape == (3 * side, 4 * side, 3)
    for (row, col), answer in zip(patches.tolist(), answers, strict=True):
        np.testing.assert_array_equal(heatmap.of_patch(row, col, PLAN), answer)


def test_a_class_is_a_single_cell() -> None:
    answers = np.random.default_rng(0).random((2, 3), np.float32)
    heatmaps = []
    for each in (answers, answers[:, np.newaxis, np.newaxis]):
        filled = HeatmapCells(PLAN)
        filled.put(np.array([[0, 1], [2, 3]]), each)
        heatmaps.append(filled.heatmap(INFO))
    np.testing.assert_array_equal(heatmaps[0].values, heatmaps[1].values)
    np.testing.assert_array_equal(heatmaps[0].values[[0, 2], [1, 3]], answers)
    assert heatmaps[0].step_level0 == 48
