"""The patch table of a slide with one or several heatmap cells per patch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from h2g.recipes.preprocessing import PatchSettings
from h2g.results.outputs import OUTPUTS
from h2g.results.slide_state import Seconds, Segmented
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.info import Level, slide_info
from h2g.slides.patches import plan_patches
from h2g.slides.planes import Plane
from h2g.slides.tissue import TissueMask
from h2g.slides.tissue_patches import Located

NAMES = ("background", "tumour")
CELLS = np.array([[0, 0], [1, 2]])  # the patches that hold tissue


def segmented(*, side: int, margin_px: int) -> Segmented:
    """A slide of 300 x 200 px at 1 um/px, read in patches of 32 px at 2 um/px; random heatmap.

    Args:
        side: cells along a patch.
    """
    info = slide_info(Path("a.svs"), {}, [Level((300, 200), 1.0)], mpp=1.0)
    plan = plan_patches(info, PatchSettings(mpp=2.0, size_px=32, margin_px=margin_px))
    values = np.zeros((plan.rows, side, plan.cols, side, 2), np.float32)
    tumour = np.random.default_rng(0).random((len(CELLS), side, side), np.float32)
    values[CELLS[:, 0], :, CELLS[:, 1]] = np.stack([1 - tumour, tumour], axis=-1)
    heatmap = Heatmap(
        values.reshape(plan.rows * side, plan.cols * side, 2),
        plan.step_level0 / side,
        Frame(info.field_level0, 1.0),
    )
    tissue = TissueMask(np.ones((2, 3), bool), Frame(info.field_level0, 1.0))
    return Segmented(
        located=Located(info, tissue, plan, CELLS),
        plane=Plane(np.zeros((20, 30, 3), np.uint8), Frame(info.field_level0, 1.0)),
        class_names=NAMES,
        heatmap=heatmap,
        labels=np.zeros((20, 30), np.uint8),
        seconds=Seconds(),
    )


@pytest.mark.parametrize("side", [1, 4, 24])
def test_patches_have_the_mean_of_their_cells_and_squares_without_margins(
    side: int, tmp_path: Path
) -> None:
    slide = segmented(side=side, margin_px=4)
    OUTPUTS["patches"].write(slide, tmp_path / "patches.csv")
    table = pd.read_csv(tmp_path / "patches.csv")
    # 24 px of 2 um without margins: squares of 48, whatever surrounds them.
    squares = [[0, 0, 48, 48], [2 * 48, 48, 48, 48]]
    assert table[["minx", "miny", "width", "height"]].to_numpy().tolist() == squares
    tumour = np.random.default_rng(0).random((len(CELLS), side, side), np.float32)
    np.testing.assert_allclose(table["prob_tumour"], tumour.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(table["prob_background"] + table["prob_tumour"], 1, rtol=1e-5)
