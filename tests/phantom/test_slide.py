"""The slide files: what readers find in them."""

import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
import tifffile

from h2g.folders.cohort import read_cohort
from h2g.phantom import generate_cohort
from h2g.phantom.anatomy import Anatomy
from h2g.phantom.slide import SlideOptions, make_slide
from h2g.phantom.textures import textures
from h2g.phantom.writing import level_sizes, write_slide


@pytest.fixture(scope="module")
def slides(phantom_cohort: Path) -> list[Path]:
    return [row.slide for row in read_cohort(phantom_cohort).slides]


def read(slide: openslide.OpenSlide, level: int) -> np.ndarray:
    size = slide.level_dimensions[level]
    return np.asarray(slide.read_region((0, 0), level, size).convert("RGB"))


def test_svs_opens_with_resolution_and_objective(slides: list[Path]) -> None:
    for path in slides:
        with openslide.OpenSlide(path) as slide:
            assert slide.properties["openslide.vendor"] == "aperio"
            assert float(slide.properties["openslide.mpp-x"]) == 1.0
            assert float(slide.properties["openslide.mpp-y"]) == 1.0
            assert float(slide.properties["openslide.objective-power"]) == 10
            assert slide.properties["openslide.level[0].tile-width"] == "256"
            assert slide.level_downsamples == (1.0, 2.0)
            assert min(slide.level_dimensions[-1]) >= 1024
            assert "thumbnail" in slide.associated_images


def test_slides_are_square_wide_and_high(slides: list[Path]) -> None:
    sizes = {openslide.OpenSlide(path).dimensions for path in slides}
    assert sizes == {(2048, 2048), (2304, 2048), (2048, 2304)}


def test_description_names_the_magnification(slides: list[Path]) -> None:
    with tifffile.TiffFile(slides[0]) as tiff:
        description = tiff.pages[0].description
    assert description.startswith("Aperio ")
    assert "|AppMag = 10|MPP = 1" in description


def test_tiff_has_resolution_but_no_objective(tmp_path: Path) -> None:
    generate_cohort(tmp_path, slides=1, size_mm=1.0, mpp=0.5, seed=1, suffix="tiff")
    with openslide.OpenSlide(tmp_path / "slides" / "phantom_01.tiff") as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        # 1 mm at 0.5 um/px is 2000 px, rounded up to two times 1024.
        assert slide.level_dimensions == ((2048, 2048), (1024, 1024))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5, rel=1e-6)
        assert "openslide.objective-power" not in slide.properties


def test_levels_show_the_same(slides: list[Path]) -> None:
    with openslide.OpenSlide(slides[0]) as slide:
        fine, coarse = read(slide, 0), read(slide, 1)
    half = cv2.resize(fine, coarse.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(int) - coarse).mean() < 4


def test_every_slide_has_glass_tissue_and_nuclei(slides: list[Path]) -> None:
    for path in slides:
        with openslide.OpenSlide(path) as slide:
            rgb = read(slide, 0)
        saturation = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
        assert 0.3 < (saturation > 20).mean() < 0.7
        # Nuclei are dark and blue; eosin alone never absorbs that much red.
        assert 0.02 < (rgb[..., 0] < 110).mean() < 0.25


def test_annotations_are_of_qupaths_shape(phantom_cohort: Path) -> None:
    kinds = set()
    for row in read_cohort(phantom_cohort).slides:
        document = json.loads(row.annotation.read_text())
        assert document["type"] == "FeatureCollection"
        for feature in document["features"]:
            kinds.add(feature["geometry"]["type"])
            assert feature["properties"]["objectType"] == "annotation"
            assert feature["properties"]["classification"]["name"] == "Tumour"
    assert "Polygon" in kinds


def test_level_sizes_halve_to_a_shorter_side_of_1024() -> None:
    assert level_sizes((9216, 8192)) == [(9216, 8192), (4608, 4096), (2304, 2048), (1152, 1024)]
    assert level_sizes((1024, 1024)) == [(1024, 1024)]


def test_written_pixels_come_back_where_they_were(tmp_path: Path) -> None:
    # Odd sides and bands that fit no tile: smooth colours, which JPEG keeps to a few levels.
    width, height = 2307, 2050
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=-1)
    image = image.astype(np.uint8)
    bands = (image[top : top + 300] for top in range(0, height, 300))
    path = tmp_path / "gradient.svs"
    write_slide(path, bands, size_px=(width, height), mpp=0.25, suffix="svs", threads=2)
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == ((2307, 2050), (1153, 1025), (576, 512))
        assert np.abs(read(slide, 0).astype(int) - image).max() <= 6
        corner = slide.read_region((2250, 2000), 0, (57, 50)).convert("RGB")
        assert np.abs(np.asarray(corner).astype(int) - image[2000:, 2250:]).max() <= 6
        half = cv2.resize(image[:, :2306], (1153, 1025), interpolation=cv2.INTER_AREA)
        assert np.abs(read(slide, 1).astype(int) - half).max() <= 6


def test_memory_stays_far_below_the_picture(tmp_path: Path) -> None:
    options = SlideOptions("tall", 0, 0, 2, (4096, 16384), 0.25, "svs", Anatomy())
    textures(0.25)  # once a process, whatever is rendered
    tracemalloc.start()
    try:
        make_slide(options, slide=tmp_path / "tall.svs", annotation=tmp_path / "tall.geojson")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The picture is 201 MB; bands of 512 rows, the plan and the stamps were 70 MB when measured.
    assert peak < 100e6
