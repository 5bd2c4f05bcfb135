from pathlib import Path

import numpy as np
import pytest
import tifffile

from h2g.errors import SlideError
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import describe_slide, open_slide
from h2g.slides.tiff_files import read_heatmap, write_heatmap, write_pyramid


@pytest.fixture
def labels() -> np.ndarray:
    """(600, 1000) uint8: 0, 1 and 2 in blocks of a multiple of 8 px."""
    values = np.zeros((600, 1000), np.uint8)
    values[96:400, 200:640] = 1
    values[480:560, 800:960] = 2
    return values


@pytest.mark.parametrize("compression", ["deflate", "lzw"])
def test_labels_open_in_openslide(tmp_path: Path, labels: np.ndarray, compression: str) -> None:
    path = tmp_path / "a.tiff"
    write_pyramid(path, labels, mpp=4.0, tile_px=256, compression=compression)
    info = describe_slide(path)
    assert (info.mpp, info.tile_px) == (4.0, (256, 256))
    assert [level.size_px for level in info.levels] == [(1000, 600), (500, 300), (250, 150)]
    with open_slide(path) as slide:
        for number, step in enumerate((1, 2, 4)):
            size = info.levels[number].size_px
            level = slide.read_level(level=number, xy_level0=(0, 0), size_px=size)
            np.testing.assert_array_equal(level[..., 0], labels[::step, ::step])
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.shape == (600, 1000)  # one channel, so that QuPath shows numbers


def test_colours_are_averaged(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (512, 768, 3), np.uint8)
    path = tmp_path / "a.tiff"
    write_pyramid(path, rgb, mpp=0.5, tile_px=512)
    with open_slide(path) as slide:
        low = slide.read_level(level=1, xy_level0=(0, 0), size_px=(384, 256))
        assert slide.info.level_mpp(1) == 1.0
    means = rgb.reshape(256, 2, 384, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(low, means, atol=0.51)


def test_resolution_of_each_axis_and_level(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "a.tiff"
    write_pyramid(path, labels, mpp=(4.0, 5.0), tile_px=512)
    with tifffile.TiffFile(path) as tiff:
        dots = [[page.tags[name].value for name in ("XResolution", "YResolution")]
                for page in tiff.pages]  # fmt: skip
        assert {page.tags["ResolutionUnit"].value for page in tiff.pages} == {3}
    # 10,000 um a cm / 4 = 2500 and / 5 = 2000; half of that a level on.
    values = [[a / b for a, b in level] for level in dots]
    assert values == [[2500, 2000], [1250, 1000]]


def test_a_failure_leaves_no_file(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "a.tiff"
    with pytest.raises(ValueError, match="COMPRESSION"):
        write_pyramid(path, labels, mpp=1.0, compression="no such compression")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("classes", [1, 2, 3, 4])
def test_heatmap_round_trip(tmp_path: Path, classes: int) -> None:
    values = np.random.default_rng(0).random((5, 7, classes), np.float32)
    heatmap = Heatmap(values, step_level0=1024.25, frame=Frame((7000, 5000), 0.2525))
    path = tmp_path / "a.tiff"
    write_heatmap(path, heatmap)
    again = read_heatmap(path)
    np.testing.assert_array_equal(again.values, values)
    assert again.values.dtype == np.float32
    assert (again.step_level0, again.frame.mpp) == (1024.25, 0.2525)
    assert again.frame.field_level0 == (7000, 5000)
    with tifffile.TiffFile(path) as tiff:
        dots, unit = tiff.pages.first.tags["XResolution"].value
    assert dots / unit == pytest.approx(10_000 / (1024.25 * 0.2525))


def test_other_files_are_no_heatmaps(tmp_path: Path, labels: np.ndarray) -> None:
    other, text = tmp_path / "other.tiff", tmp_path / "text.tiff"
    write_pyramid(other, labels, mpp=1.0)
    text.write_text("heatmap")
    for path in (other, text, tmp_path / "missing.tiff"):
        with pytest.raises(SlideError, match=f"{path.name}: not a heatmap"):
            read_heatmap(path)


def test_a_heatmap_cut_in_half(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((50, 70, 2), np.float32)
    path = tmp_path / "a.tiff"
    write_heatmap(path, Heatmap(values, 256.0, Frame((17_920, 12_800), 1.0)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SlideError, match="not a heatmap"):
        read_heatmap(path)
