from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from h2g.recipes.preprocessing import PROFILES, TissueSettings
from h2g.slides.frame import Frame
from h2g.slides.reading import Plane, open_slide, read_plane
from h2g.slides.tissue import (
    TissueMask,
    draw_preview,
    find_tissue,
    tissue_of_plane,
    tissue_of_rgb,
    write_tissue,
)

BARE = {"closing_px": ()}


def test_saturation_rule() -> None:
    # 8-bit HSV saturation is 255 * (max - min) / max.
    # (255, 235, 235): 20, not above; (255, 234, 255): 21; grey of any darkness: 0;
    # (51, 0, 51): 255, which a saturation kept as a share and cast to 8 bits would lose.
    rgb = np.array([[[255, 235, 235], [255, 234, 255], [90, 90, 90], [51, 0, 51]]], np.uint8)
    mask = tissue_of_rgb(rgb, TissueSettings(**BARE))
    assert mask.dtype == bool
    assert mask.tolist() == [[False, True, False, True]]


def test_white_distance_rule() -> None:
    # Distance to (255, 255, 255): (170, 255, 255) is 85, not above; (169, ...) is 86;
    # (205, 205, 205) is 50 * sqrt(3) = 86.6; (206, 206, 206) is 84.9. Black is what FAST reads
    # where nothing was scanned.
    rgb = np.array([[[170, 255, 255], [169, 255, 255], [205, 205, 205], [206, 206, 206]]], np.uint8)
    rgb = np.concatenate([rgb, np.array([[[0, 0, 0], [0, 0, 1]]], np.uint8)], axis=1)
    mask = tissue_of_rgb(rgb, TissueSettings(rule="white-distance", threshold=85, **BARE))
    assert mask.tolist() == [[False, True, True, False, False, True]]


@pytest.mark.parametrize("rule", ["saturation", "otsu", "otsu-hs"])
def test_nearly_black_areas_are_not_tissue(rule: str) -> None:
    rgb = np.full((40, 60, 3), 240, np.uint8)
    rgb[10:30, 20:40] = (220, 120, 180)
    rgb[:, :10] = (1, 0, 0)
    rgb[:, 50:] = np.random.default_rng(0).integers(0, 4, (40, 10, 3))
    mask = tissue_of_rgb(rgb, TissueSettings(rule=rule, **BARE))
    assert mask[10:30, 20:40].all()
    assert mask.sum() == 400


def test_otsu_rule() -> None:
    # Two groups of saturation, 8 to 15 and about 105: the threshold lies between.
    rgb = np.full((20, 20, 3), (255, 247, 247), np.uint8)
    rgb[:, 15:] = (255, 240, 240)
    rgb[:5] = (255, 150, 150)
    mask = tissue_of_rgb(rgb, TissueSettings(rule="otsu", **BARE))
    assert mask[:5].all()
    assert not mask[5:].any()


def test_otsu_of_hue_and_saturation() -> None:
    """Yellow dirt is saturated and pale violet has the hue of tissue; only tissue has both."""
    rgb = np.full((40, 40, 3), (250, 248, 246), np.uint8)
    rgb[:10, :20] = (170, 90, 160)
    rgb[10:20, :20] = (230, 210, 90)
    rgb[20:30, :20] = (246, 240, 247)
    mask = tissue_of_rgb(rgb, TissueSettings(rule="otsu-hs", **BARE))
    assert mask[:10, :20].all()
    assert mask.sum() == 200


def purple_on_white(shape: tuple[int, int]) -> np.ndarray:
    return np.full((*shape, 3), 255, np.uint8)


def test_square_closing_fills_gaps_smaller_than_itself() -> None:
    # Bars of 6 px: a gap of 4 is filled by a closing of 5, one of 5 is not.
    for gap, filled in ((4, True), (5, False)):
        rgb = purple_on_white((30, 40))
        rgb[:, 10:16] = rgb[:, 16 + gap : 22 + gap] = (120, 60, 140)
        mask = tissue_of_rgb(rgb, TissueSettings(closing_px=(5,)))
        assert mask[:, 16 : 16 + gap].all() == filled
        assert mask[:, 16 : 16 + gap].any() == filled
        assert mask.sum() == 30 * (12 + gap * filled)


def test_white_distance_closes_with_a_disc() -> None:
    # The middle of four pixels at (+-3, +-3) is in the square of 9 around each, and so is all
    # that a square around the middle reaches; a disc of radius 4 does not reach 3 * sqrt(2) = 4.2.
    rgb = purple_on_white((41, 41))
    for y in (17, 23):
        for x in (17, 23):
            rgb[y, x] = (120, 60, 140)
    square = tissue_of_rgb(rgb, TissueSettings(closing_px=(9,)))
    disc = tissue_of_rgb(rgb, TissueSettings(rule="white-distance", threshold=85, closing_px=(9,)))
    assert square[20, 20]
    assert not disc[20, 20]
    assert disc[17, 17]


def test_share_and_area() -> None:
    mask = np.zeros((10, 20), bool)
    mask[:5, :10] = True  # a quarter
    tissue = TissueMask(mask, frame=Frame((8000, 4000), 0.5))
    assert tissue.share == 0.25
    assert tissue.area_mm2 == pytest.approx(2.0)  # of 4 mm x 2 mm


@pytest.mark.parametrize("profile", ["paper", "fast"])
def test_tissue_of_a_real_slide(cmu: Path, profile: str) -> None:
    settings = PROFILES[profile].tissue
    with open_slide(cmu) as slide:
        tissue = find_tissue(slide, settings)
    height, width = tissue.mask.shape
    # 2220 * 0.499 / 8 = 138.5, 2967 * 0.499 / 8 = 185.1; the fast profile takes the last level.
    assert (width, height) == ((138, 185) if profile == "paper" else (2220, 2967))
    assert tissue.frame.field_level0 == (2220, 2967)
    assert 0.3 < tissue.share < 0.45
    assert tissue.mask[height // 2, width // 2 - width // 20]
    assert not tissue.mask[height // 2, width * 19 // 20]


def test_mask_file(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((30, 50)) > 0.5
    tissue = TissueMask(mask, frame=Frame((8001, 4003), 0.2525))
    path = tmp_path / "new folder" / "a.png"
    write_tissue(tissue, path)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), mask * 255)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_preview_fades_glass_and_keeps_tissue() -> None:
    rgb = np.full((40, 40, 3), 225, np.uint8)
    rgb[10:30, 10:30] = (120, 60, 140)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    preview = draw_preview(Plane(rgb, Frame((40, 40), 1.0)), TissueMask(mask, Frame((40, 40), 1.0)))
    assert preview[20, 20].tolist() == [120, 60, 140]
    assert preview[2, 2].tolist() == [245, 245, 245]  # 255 - 30 / 3
    assert preview[10, 20].tolist() == [0, 140, 60]  # the outline
    assert (rgb[2, 2] == 225).all()


def test_plane_and_mask_of_one_resolution_agree(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        plane = read_plane(slide, 8.0)
        tissue = find_tissue(slide, TissueSettings())
    assert tissue.mask.shape == plane.rgb.shape[:2]
    assert plane.rgb[tissue.mask].mean() < plane.rgb[~tissue.mask].mean() - 30


def test_ink_of_a_pen_is_told(cmu: Path) -> None:
    settings = TissueSettings()
    rgb = np.full((200, 200, 3), 255, np.uint8)
    rgb[50:150, 50:150] = (200, 130, 180)
    plane = Plane(rgb, Frame((2000, 2000), 0.5))
    assert tissue_of_plane(plane, settings).problems == ()
    for ink in ((30, 120, 60), (40, 90, 200)):  # green and blue
        rgb[60:140, 160:190] = ink
        (problem,) = tissue_of_plane(plane, settings).problems
        assert problem == "0.06 mm2 of the tissue are green or blue, perhaps ink of a pen"
    with open_slide(cmu) as slide:
        assert find_tissue(slide, settings).problems == ()


def test_nearly_black_tissue_of_fasts_rule_is_told() -> None:
    rgb = np.full((100, 100, 3), 255, np.uint8)
    rgb[:, :30] = 4
    rgb[50:, 50:] = (200, 130, 180)
    plane = Plane(rgb, Frame((1000, 1000), 1.0))
    assert tissue_of_plane(plane, TissueSettings()).problems == ()
    fast = tissue_of_plane(plane, PROFILES["fast"].tissue)
    assert fast.share == pytest.approx(0.55, abs=0.01)
    (problem,) = fast.problems
    assert problem == "0.3 mm2 of the tissue are nearly black, perhaps an area that was not scanned"


@pytest.mark.parametrize("rule", ["saturation", "otsu", "otsu-hs"])
def test_nearly_black_padding_with_noise_is_not_tissue(rule: str) -> None:
    rgb = np.full((100, 100, 3), 255, np.uint8)
    rgb[:50, :50] = np.random.default_rng(0).integers(0, 9, (50, 50, 3))
    rgb[50:, 50:] = (200, 130, 180)
    plane = Plane(rgb, Frame((1000, 1000), 1.0))
    assert tissue_of_plane(plane, TissueSettings(rule=rule, closing_px=())).share == 0.25
