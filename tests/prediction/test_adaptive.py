"""Prediction that classifies only the patches that matter."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from h2g.errors import RunError, WrongUseError
from h2g.folders.predictions import SlideRequest
from h2g.prediction.model_files import with_patches
from h2g.prediction.predict_slides import predict_slides
from h2g.recipes.preprocessing import AdaptiveSettings
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage
from h2g.slides.tiff_files import read_heatmap
from tests.prediction.drawn_slides import (
    PREPROCESSING,
    TUMOUR,
    ColourClassifier,
    ColourModel,
    colour_model,
    draw,
    save_tiff,
)

IMAGE_ALONE = RefinementStage(inputs="image")
# 20 x 18 patches of 32 px, all tissue; tumour in a square that does not follow their grid.
TUMOUR_BOX = np.array([[140, 130], [390, 130], [390, 260], [140, 260]])


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return save_tiff(tmp_path / "slide.tiff", draw((640, 576), shapes={TUMOUR: [TUMOUR_BOX]}), 1.0)


def predict(slide: Path, out: Path, patches: str) -> tuple[dict, ColourClassifier]:
    classifier = ColourClassifier()
    model = with_patches(colour_model(classifier), patches)
    assert isinstance(model, ColourModel)
    (row,) = predict_slides(model, [SlideRequest(slide)], out)
    assert row["status"] == "ok", row["reason"]
    return row, classifier


def test_fewer_patches_give_the_same_segmentation(slide: Path, tmp_path: Path) -> None:
    whole, every = predict(slide, tmp_path / "all", "all")
    row, some = predict(slide, tmp_path / "adaptive", "adaptive")
    assert sum(every.classified) == whole["patches"] == row["patches"] == 360
    assert row["patches_classified"] == sum(some.classified) < 0.6 * 360
    assert row["patches_percent"] == pytest.approx(100 * sum(some.classified) / 360, abs=0.05)
    assert "patches_classified" not in whole
    assert row["tumour_mm2"] == pytest.approx(whole["tumour_mm2"], rel=0.02)
    expected, found = (
        read_heatmap(tmp_path / name / "heatmaps" / "slide.tiff") for name in ("all", "adaptive")
    )
    assert expected.classified is None
    assert found.classified is not None
    assert found.classified.sum() == row["patches_classified"]
    np.testing.assert_array_equal(found.values[found.classified], expected.values[found.classified])
    # An estimate stands between neighbours that differ by less than the threshold.
    assert np.abs(found.values - expected.values).max() < 2 * AdaptiveSettings().threshold
    np.testing.assert_allclose(found.values.sum(axis=-1), 1, atol=1e-6)
    table = pd.read_csv(tmp_path / "adaptive" / "patches" / "slide.csv")
    assert len(table) == row["patches_classified"]
    assert set(zip(table.minx // 32, table.miny // 32, strict=True)) == {
        (col, row) for row, col in np.argwhere(found.classified)
    }


def test_a_lesion_that_the_first_pass_does_not_see_is_lost(tmp_path: Path) -> None:
    # One patch of tumour, in an odd row and column, that no patch of the first pass sees.
    small = np.array([[96 + 4, 96 + 4], [128 - 4, 96 + 4], [128 - 4, 128 - 4], [96 + 4, 128 - 4]])
    image = draw((640, 576), shapes={TUMOUR: [small]})
    slide = save_tiff(tmp_path / "slide.tiff", image, 1.0)
    row, _ = predict(slide, tmp_path / "0", "adaptive:0")
    # Of 90 patches in the first pass, none differs; one corner has a single neighbour.
    assert row["patches_classified"] == 91
    assert row["tumour_mm2"] == 0
    # It is darker than the patches around it.
    row, _ = predict(slide, tmp_path / "darker", "adaptive:0:4")
    assert row["patches_classified"] < 100
    assert row["tumour_mm2"] > 0


def test_tissue_outside_the_first_pass_is_classified(tmp_path: Path) -> None:
    corner = np.array([[32, 32], [62, 32], [62, 62], [32, 62]])
    image = draw((320, 320), tissue=corner)
    slide = save_tiff(tmp_path / "slide.tiff", image, 1.0)
    row, classifier = predict(slide, tmp_path / "out", "adaptive")
    assert row["patches"] == row["patches_classified"] == sum(classifier.classified) == 1


def test_two_ways_do_not_mix_in_a_folder(slide: Path, tmp_path: Path) -> None:
    predict(slide, tmp_path / "out", "adaptive")
    for other in ("all", "adaptive:0.5"):
        with pytest.raises(RunError, match="another model .other patches"):
            predict(slide, tmp_path / "out", other)
    _, again = predict(slide, tmp_path / "out", "adaptive:0.3")
    assert not again.classified


def test_a_recipe_may_set_it(slide: Path, tmp_path: Path) -> None:
    patch = PREPROCESSING.patch.model_copy(update={"adaptive": AdaptiveSettings()})
    steps = PREPROCESSING.model_copy(update={"patch": patch})
    model = dataclasses.replace(colour_model(), preprocessing=steps)
    rows = {}
    for given in (None, "all", "adaptive"):
        out = tmp_path / str(given)
        (rows[given],) = predict_slides(with_patches(model, given), [SlideRequest(slide)], out)
    assert rows[None]["patches_classified"] == rows["adaptive"]["patches_classified"] < 360
    assert "patches_classified" not in rows["all"]
    with pytest.raises(ValueError, match="patch: null reads none"):
        Recipe(name="a", description="a", preprocessing=steps, patch=None, refinement=IMAGE_ALONE)


@pytest.mark.parametrize(
    "text",
    [
        "some",
        "adaptive:2",
        "adaptive:-1",
        "adaptive:x",
        "all:1",
        "",
        "adaptive:0.3:4:5",
        "adaptive:0.3:0",
    ],
)
def test_wrong_words_are_a_sentence(text: str) -> None:
    with pytest.raises(WrongUseError, match="give all, adaptive, adaptive:THRESHOLD with"):
        with_patches(colour_model(), text)


def test_models_that_cannot_choose_are_refused() -> None:
    model = dataclasses.replace(colour_model(), takes_patches=False)
    with pytest.raises(WrongUseError, match="has no patch network"):
        with_patches(model, "adaptive")
    with pytest.raises(WrongUseError, match="FAST classifies every patch itself"):
        with_patches(dataclasses.replace(colour_model(), engine="fast"), "adaptive")
