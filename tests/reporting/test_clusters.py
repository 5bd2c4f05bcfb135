"""The contents of the figures are read back from their pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from h2g.reporting.clusters import (
    ContactRow,
    cluster_colours,
    draw_contact_sheet,
    draw_projection,
    draw_slide_shares,
)


def picture(path: Path) -> np.ndarray:
    rgb = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert rgb is not None
    return rgb


def plain(colour: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (40, 40, 3))


def places(rgb: np.ndarray, colour: tuple[int, int, int], *, within: int = 3) -> np.ndarray:
    """Rows and columns of the pixels of a colour, (n, 2)."""
    return np.argwhere(np.abs(rgb.astype(int) - colour).max(axis=2) <= within)


def test_the_contact_sheet_has_one_row_per_cluster(tmp_path):
    red, green, blue = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    rows = [
        ContactRow("cluster 0", [plain(red), plain(green), plain(blue)]),
        ContactRow("cluster 1", [plain(blue)]),
        ContactRow("cluster 2", []),
    ]
    draw_contact_sheet(tmp_path / "sheet.png", rows)
    rgb = picture(tmp_path / "sheet.png")
    third = rgb.shape[0] / 3
    of_red, of_green = places(rgb, red), places(rgb, green)
    assert of_red[:, 0].max() < third
    assert of_red[:, 1].max() < of_green[:, 1].min()  # the nearest first
    assert (places(rgb, blue)[:, 0] > third).any()
    assert (rgb[int(2.1 * third) :, rgb.shape[1] // 2 :] == 255).all()
    # Every row has its title left of the patches.
    for number in range(3):
        left = rgb[int(number * third) : int((number + 1) * third), : of_red[:, 1].min()]
        assert (left < 100).any()


@pytest.mark.parametrize(("clusters", "variance"), [(3, (0.6, 0.3)), (14, (0.6, 0.3)), (1, (1.0,))])
def test_the_projection_is_coloured_by_cluster_and_by_class(tmp_path, clusters, variance):
    rng = np.random.default_rng(0)
    count = 60 * clusters
    numbers = np.arange(count) % clusters
    patches = pd.DataFrame(
        {
            "component_0": 10 * numbers + rng.normal(size=count),
            "component_1": rng.normal(size=count) if len(variance) > 1 else 0.0,
            "cluster": numbers,
            "label": rng.integers(2, size=count),
        }
    )
    draw_projection(
        tmp_path / "projection.png",
        patches,
        class_names=("background", "tumour"),
        variance=variance,
    )
    rgb = picture(tmp_path / "projection.png")
    tumour = places(rgb, (200, 0, 0), within=40)
    assert len(tumour) > 20
    assert (tumour[:, 1] > rgb.shape[1] / 2).mean() > 0.8 or clusters > 3


def test_every_cluster_has_its_own_colour():
    for count in (1, 10, 25):
        assert len(set(cluster_colours(range(count)).values())) == count


@pytest.mark.parametrize("slides", [3, 90])
def test_shares_of_slides_are_darker_where_they_are_larger(tmp_path, slides):
    shares = np.tile([0.9, 0.1, 0.0], (slides, 1))
    table = pd.DataFrame(shares, index=[f"slide_{n}" for n in range(slides)], columns=[0, 1, 2])
    draw_slide_shares(tmp_path / "slides.png", table)
    rgb = picture(tmp_path / "slides.png")
    # In matplotlib's Blues, the largest share is darkest and 0 is lightest.
    dark, light = places(rgb, (8, 48, 107)), places(rgb, (247, 251, 255), within=1)
    assert len(dark) > 500
    assert np.median(dark[:, 1]) < np.median(light[:, 1])
