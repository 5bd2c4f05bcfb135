from pathlib import Path

import pytest

from h2g.errors import SlideError
from h2g.slides.info import Level, slide_info

# A slide with bounds cannot be written by these tests (the formats that have them are private to
# scanners), so the bounds are read from properties as OpenSlide gives them.
MIRAX = {
    "openslide.vendor": "mirax",
    "openslide.mpp-x": "0.25",
    "openslide.mpp-y": "0.25",
    "openslide.objective-power": "40",
    "openslide.bounds-x": "1000",
    "openslide.bounds-y": "2000",
    "openslide.bounds-width": "30000",
    "openslide.bounds-height": "40000",
    "openslide.level[0].tile-width": "256",
    "openslide.level[0].tile-height": "128",
}
LEVELS = (Level((80_000, 90_000), 1.0), Level((20_000, 22_500), 4.0))


def test_bounds_tiles_and_objective() -> None:
    info = slide_info(Path("a.mrxs"), MIRAX, LEVELS)
    assert info.field_level0 == (80_000, 90_000)
    assert info.bounds_level0 == (1000, 2000, 30_000, 40_000)
    assert info.tile_px == (256, 128)
    assert info.objective_power == 40
    assert info.vendor == "mirax"
    assert info.problems == ()


def test_without_bounds_the_whole_field_is_scanned() -> None:
    info = slide_info(Path("a.svs"), {}, LEVELS)
    assert info.bounds_level0 == (0, 0, 80_000, 90_000)
    assert info.tile_px is None


def test_bounds_without_a_size_reach_the_far_corner() -> None:
    properties = {"openslide.bounds-x": "1000", "openslide.bounds-y": "2000"}
    info = slide_info(Path("a.svs"), properties, LEVELS)
    assert info.bounds_level0 == (1000, 2000, 79_000, 88_000)


def test_level_mpp() -> None:
    assert slide_info(Path("a.mrxs"), MIRAX, LEVELS).level_mpp(1) == 1.0
    assert slide_info(Path("a.mrxs"), MIRAX, LEVELS, mpp=0.5).level_mpp(1) == 2.0


def test_no_resolution_says_how_to_give_it() -> None:
    info = slide_info(Path("a.svs"), {}, LEVELS)
    with pytest.raises(SlideError, match=r"a\.svs: no um/px .* --mpp 0\.25"):
        info.level_mpp(0)


def test_a_large_slide_without_pyramid_is_mentioned() -> None:
    assert "no pyramid" in slide_info(Path("a.svs"), MIRAX, LEVELS[:1]).problems[0]


def test_a_coarsest_level_of_some_pixels_is_a_problem() -> None:
    levels = [Level((2048, 2048), 1.0), Level((8, 8), 256.0)]
    info = slide_info(Path("a.svs"), {}, levels, mpp=1.0)
    assert "the coarsest level has only 8 x 8 pixels" in info.problems[0]
    assert slide_info(Path("a.svs"), {}, levels[:1], mpp=1.0).problems == ()
