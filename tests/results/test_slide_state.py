from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from h2g.results.slide_state import SlideState
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Plane


def test_labels_are_of_the_last_network() -> None:
    plane = Plane(np.zeros((10, 20, 3), np.uint8), Frame((320, 160), 1.0))
    state = SlideState(plane, ("background", "tumour"))
    with pytest.raises(ValueError, match="no network has run"):
        state.labels((20, 10))
    tumour = np.float32([[[0.1, 0.9]]])
    state = state.with_heatmap(Heatmap(tumour, 320, Frame((320, 160), 1.0)))
    np.testing.assert_array_equal(state.labels((20, 10)), np.ones((10, 20)))
    state = state.with_field(np.float32([[[0.9, 0.1], [0.2, 0.8]]]))
    assert state.labels((20, 10))[:, [0, 19]].tolist() == [[0, 1]] * 10
    state = dataclasses.replace(state, heatmap=None)
    assert state.labels((20, 10)).any()
