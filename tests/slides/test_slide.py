import contextlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from h2g.errors import SlideError
from h2g.slides import images
from h2g.slides.damage import Damage
from h2g.slides.reading import SlidePool, describe_slide, open_slide


def test_real_slide(cmu: Path) -> None:
    info = describe_slide(cmu)
    assert info.field_level0 == (2220, 2967)
    assert (info.mpp, info.mpp_source, info.objective_power) == (0.499, "slide", 20)
    assert (info.vendor, info.tile_px) == ("aperio", (240, 240))
    assert info.problems == ()
    with open_slide(cmu) as slide:
        glass = slide.read_level(level=0, xy_level0=(2000, 1400), size_px=(100, 50))
        tissue = slide.read_level(level=0, xy_level0=(1000, 1500), size_px=(100, 50))
    assert glass.shape == (50, 100, 3)
    assert glass.dtype == np.uint8
    assert glass.mean() > 235 > 200 > tissue.mean()


def test_levels_and_pixels_of_a_pyramid(write_slide, picture: np.ndarray) -> None:
    path = write_slide(picture, downsamples=(4,), description="Aperio X|AppMag = 40|MPP = 0.25")
    with open_slide(path) as slide:
        assert [level.size_px for level in slide.info.levels] == [(1536, 1024), (384, 256)]
        assert slide.info.level_mpp(1) == 1.0
        part = slide.read_level(level=0, xy_level0=(300, 200), size_px=(70, 40))
        low = slide.read_level(level=1, xy_level0=(400, 800), size_px=(50, 20))
    np.testing.assert_array_equal(part, picture[200:240, 300:370])
    means = picture.reshape(256, 4, 384, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(low, means[200:220, 100:150], atol=1)


def test_objective_power_gives_the_resolution(write_slide, picture: np.ndarray) -> None:
    info = describe_slide(write_slide(picture, description="Aperio X|AppMag = 20"))
    assert (info.mpp, info.mpp_source) == (0.5, "objective power")


def test_resolution_tags_of_a_generic_tiff(write_slide, picture: np.ndarray) -> None:
    info = describe_slide(write_slide(picture, description=None, dots_per_cm=40_000))
    assert (info.mpp, info.mpp_source, info.vendor) == (
        0.25,
        "TIFF resolution tags",
        "generic-tiff",
    )


def test_without_resolution_described_but_not_opened(write_slide, picture: np.ndarray) -> None:
    path = write_slide(picture, description=None)
    assert describe_slide(path).mpp is None
    with pytest.raises(SlideError, match="Pass --mpp"):
        open_slide(path)
    with open_slide(path, mpp=0.3) as slide:
        assert (slide.info.mpp, slide.info.mpp_source) == (0.3, "given")


def test_pixels_outside_the_slide_are_white(write_slide, picture: np.ndarray) -> None:
    with open_slide(write_slide(picture)) as slide:
        part = slide.read_level(level=0, xy_level0=(1500, -10), size_px=(60, 40))
    np.testing.assert_array_equal(part[10:, :36], picture[:30, 1500:])
    assert (part[:10] == 255).all()
    assert (part[:, 36:] == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_plain_images_with_a_given_resolution(
    tmp_path: Path, picture: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"région 1{suffix}"
    Image.fromarray(picture).save(path, quality=95)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.info.field_level0 == (1536, 1024)
        assert slide.info.vendor.startswith("plain ")
        part = slide.read_level(level=0, xy_level0=(1500, 1000), size_px=(64, 64))
    np.testing.assert_allclose(part[:24, :36], picture[1000:, 1500:], atol=20)
    assert (part[24:] == 255).all()
    with pytest.raises(SlideError, match="Pass --mpp"):
        open_slide(path)


def test_resolution_tags_of_a_plain_tiff(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "region.tif"
    Image.fromarray(picture).save(path, resolution_unit=3, x_resolution=20_000, y_resolution=20_000)
    assert describe_slide(path).mpp == 0.5
    Image.fromarray(picture).save(path, dpi=(72, 72))
    assert describe_slide(path).mpp is None


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    rgba = np.full((2, 3, 4), (100, 0, 200, 255), np.uint8)
    rgba[0, 0, 3], rgba[0, 1, 3] = 0, 51
    path = tmp_path / "a.png"
    Image.fromarray(rgba).save(path)
    with open_slide(path, mpp=1) as slide:
        rgb = slide.read_level(level=0, xy_level0=(0, 0), size_px=(3, 2))
    # 51 / 255 = 0.2: 0.2 * 100 + 0.8 * 255 = 224, 0.8 * 255 = 204, 0.2 * 200 + 204 = 244
    assert rgb[0].tolist() == [[255, 255, 255], [224, 204, 244], [100, 0, 200]]


def test_pillows_limit_does_not_stop_an_image(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert describe_slide(path, mpp=1).field_level0 == (1536, 1024)
    assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setattr(images, "LARGEST_IMAGE_PX", 1000)
    with pytest.raises(SlideError, match="1536 x 1024 pixels are too many .* --pyramid"):
        describe_slide(path, mpp=1)


def test_other_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    for name in ("text.svs", "text.png", "text.tif"):
        path = tmp_path / name
        path.write_text("not a slide")
        with pytest.raises(SlideError, match=f"{name}: .* damaged or incomplete"):
            describe_slide(path)
    with pytest.raises(SlideError, match="no such file"):
        open_slide(tmp_path / "missing.svs")
    with pytest.raises(SlideError, match="folder"):
        open_slide(tmp_path)
    with pytest.raises(SlideError, match="positive"):
        open_slide(tmp_path / "text.svs", mpp=-1)
    deep = tmp_path / "deep.png"
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep)
    with pytest.raises(SlideError, match="not 8 bits"):
        open_slide(deep, mpp=1)


def test_files_cut_in_half(tmp_path: Path, cmu: Path, picture: np.ndarray) -> None:
    png = tmp_path / "whole.png"
    Image.fromarray(picture).save(png)
    for source in (cmu, png):
        cut = tmp_path / f"cut{source.suffix}"
        content = source.read_bytes()
        cut.write_bytes(content[: len(content) // 2])
        with pytest.raises(SlideError, match="damaged or incomplete"):
            describe_slide(cut, mpp=0.5)


def test_a_file_whose_directory_survived_the_cut(write_slide, picture: np.ndarray) -> None:
    path = write_slide(picture)
    with tifffile.TiffFile(path) as tiff:
        last = tiff.pages.first.dataoffsets[-1]
    content = bytearray(path.read_bytes())
    content[last : last + 64] = bytes(64)  # the last tile is no longer a deflate stream
    path.write_bytes(content)
    with open_slide(path) as slide:
        slide.read_level(level=0, xy_level0=(0, 0), size_px=(10, 10))
        assert not slide.failed
        with pytest.raises(SlideError, match=r"level 0 cannot be read at \(1500, 1000\)"):
            slide.read_level(level=0, xy_level0=(1500, 1000), size_px=(10, 10))
        assert slide.failed
    with pytest.raises(SlideError, match="damaged"):
        describe_slide(path)


def damage_tiles(path: Path, *numbers: int) -> None:
    """Makes tiles of the first level undecodable."""
    with tifffile.TiffFile(path) as tiff:
        places = [tiff.pages.first.dataoffsets[number] for number in numbers]
    content = bytearray(path.read_bytes())
    for place in places:
        content[place : place + 64] = bytes(64)
    path.write_bytes(content)


def test_damaged_tiles_are_taken_as_missing(write_slide, picture: np.ndarray) -> None:
    path = write_slide(picture, downsamples=(4,))  # 6 x 4 tiles of 256 px
    damage_tiles(path, 8, 23)
    damage = Damage()
    expected = picture.copy()
    expected[256:512, 512:768] = 255
    expected[768:, 1280:] = 255
    with open_slide(path, damage=damage) as slide:
        assert damage.problem is None
        whole = slide.read_level(level=0, xy_level0=(0, 0), size_px=(1536, 1024))
        np.testing.assert_array_equal(whole, expected)
        assert damage.tiles == {(0, 2, 1), (0, 5, 3)}
        assert damage.problem == "2 damaged tiles are taken as missing (white), on level 0"
        part = slide.read_level(level=0, xy_level0=(500, 100), size_px=(300, 700))
        np.testing.assert_array_equal(part, expected[100:800, 500:800])
        beyond = slide.read_level(level=0, xy_level0=(1400, 900), size_px=(300, 200))
        np.testing.assert_array_equal(beyond[:124, :136], expected[900:, 1400:])
        assert (beyond[124:] == 255).all()
        assert len(damage.tiles) == 2
        assert not slide.failed
        coarse = slide.read_level(level=1, xy_level0=(0, 0), size_px=(384, 256))
    assert coarse.std() > 10
    with open_slide(path) as slide, pytest.raises(SlideError, match="damaged or incomplete"):
        slide.read_level(level=0, xy_level0=(0, 0), size_px=(1536, 1024))


def test_handles_of_a_pool_share_the_damage(write_slide, picture: np.ndarray) -> None:
    path = write_slide(picture)
    damage_tiles(path, 0)
    with contextlib.closing(SlidePool(skip_damaged=True)) as pool:
        with pool.lease(path) as first, pool.lease(path) as second:
            for slide in (first, second):
                slide.read_level(level=0, xy_level0=(0, 0), size_px=(300, 10))
        assert pool.damage_problem(path) == "1 damaged tile is taken as missing (white), on level 0"
