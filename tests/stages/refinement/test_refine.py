from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, Feed
from h2g.errors import RunError
from h2g.results.slide_state import SlideState
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Plane, open_slide, read_low_resolution
from h2g.stages.refinement.refine import refine, refinement_feed
from tests.prediction.drawn_slides import PREPROCESSING, TUMOUR, ColourRefinement, draw, save_tiff


def test_the_network_gets_the_raw_level_and_the_whole_grid(tmp_path: Path) -> None:
    image = draw((900, 700), shapes={TUMOUR: [np.array([[100, 100], [500, 120], [300, 500]])]})
    path = save_tiff(tmp_path / "slide.tiff", image, 1.0)
    heatmap = Heatmap(
        np.random.default_rng(0).dirichlet([1, 1], (22, 29)).astype(np.float32),
        step_level0=32,
        frame=Frame((900, 700), 1.0),
    )
    seen = []

    class Watching(ColourRefinement):
        def run(self, inputs: Feed) -> np.ndarray:
            seen.append(inputs)
            return super().run(inputs)

    with open_slide(path) as slide:
        plane = read_low_resolution(slide, PREPROCESSING.low_resolution)
    state = SlideState(plane, ("background", "tumour"), heatmap=heatmap)
    refined = refine(state, Watching())
    assert refined.field is not None
    assert refined.field.shape == (768, 768, 2)
    (inputs,) = seen
    np.testing.assert_array_equal(inputs[IMAGE_INPUT], plane.rgb[np.newaxis])
    assert inputs[IMAGE_INPUT].dtype == np.uint8
    np.testing.assert_array_equal(inputs[HEATMAP_INPUT], heatmap.values[np.newaxis, ..., 1:])


@pytest.mark.parametrize("names", [[IMAGE_INPUT], [HEATMAP_INPUT], [IMAGE_INPUT, HEATMAP_INPUT]])
def test_a_network_gets_only_its_inputs(names: list[str]) -> None:
    plane = Plane(np.zeros((40, 30, 3), np.uint8), Frame((480, 640), 1.0))
    heatmap = Heatmap(np.ones((3, 2, 2), np.float32), 32, Frame((64, 96), 1.0))
    state = SlideState(plane, ("background", "tumour"), heatmap=heatmap)
    assert list(refinement_feed(state, names)) == names


def test_a_missing_heatmap_is_reported() -> None:
    plane = Plane(np.zeros((40, 30, 3), np.uint8), Frame((480, 640), 1.0))
    state = SlideState(plane, ("background", "tumour"))
    with pytest.raises(RunError, match="needs a heatmap, but no network makes one"):
        refine(state, ColourRefinement())
