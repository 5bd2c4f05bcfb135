from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from h2g.annotations import mask_files
from h2g.annotations.masks import read_mask
from h2g.annotations.regions import AnnotatedRegions
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame
from tests.region_areas import area_level0

ONE = AnnotationSettings()
TWO = AnnotationSettings(classes={"tumour": (), "stroma": ()})
FIELD = (400, 240)
LABELS = np.zeros((60, 100), dtype=np.uint8)  # downsample 4
LABELS[10:20, 30:50] = 1
BOX = shapely.box(120, 40, 200, 80)  # the same in level-0 pixels


def read(
    path: Path,
    settings: AnnotationSettings = ONE,
    field: tuple[int, int] = FIELD,
    bounds: tuple[int, int, int, int] | None = None,
) -> AnnotatedRegions:
    return read_mask(path, settings, Frame(field, 1.0, bounds))


def save_png(path: Path, values: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.mark.parametrize("mode", [None, "1", "RGB", "RGBA", "LA", "I;16"])
def test_png_of_any_kind(tmp_path: Path, mode: str | None) -> None:
    found = read(save_png(tmp_path / "m.png", LABELS * 255, mode))
    assert [region.class_name for region in found.regions] == ["tumour"]
    assert found.regions[0].geometry.equals(BOX)


def test_png_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_png(tmp_path / "m.png", LABELS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses twice as many
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert area_level0(read(path), "tumour") == BOX.area


def test_palette_png_holds_indexes(tmp_path: Path) -> None:
    image = Image.fromarray(LABELS + (LABELS > 0))  # index 2
    image.putpalette([255, 255, 255, 0, 200, 0, 200, 0, 0])
    image.save(tmp_path / "m.png")
    found = read(tmp_path / "m.png", TWO)
    assert area_level0(found, "stroma") == BOX.area
    assert area_level0(found, "tumour") == 0


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw", "tile": (16, 32)},
        {"compression": "deflate", "rowsperstrip": 7},
        {},
        {"tile": (16, 16), "compression": "lzw", "photometric": "miniswhite"},
    ],
)
def test_tiff_tiles_and_strips(tmp_path: Path, options: dict) -> None:
    values = 255 - LABELS * 255 if "photometric" in options else LABELS
    tifffile.imwrite(tmp_path / "m.tif", values, **options)
    assert read(tmp_path / "m.tif").regions[0].geometry.equals(BOX)


def test_values_are_class_numbers_when_there_are_several(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[40:50, 0:10] = 2
    tifffile.imwrite(tmp_path / "m.tiff", labels.astype(np.uint16))
    found = read(tmp_path / "m.tiff", TWO)
    assert (area_level0(found, "tumour"), area_level0(found, "stroma")) == (BOX.area, 1600)
    save_png(tmp_path / "m.png", labels * 100)
    with pytest.raises(AnnotationError, match=r"values 0, 100, 200; .* the values 0 to 2"):
        read(tmp_path / "m.png", TWO)


@pytest.mark.parametrize("size", [(100, 60), (99, 60), (101, 61), (37, 22), (400, 240)])
def test_masks_of_the_slide_s_shape_to_a_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    save_png(tmp_path / "m.png", np.ones(size[::-1], dtype=np.uint8))
    # Stretched over the whole field, whatever the size.
    assert area_level0(read(tmp_path / "m.png"), "tumour") == pytest.approx(400 * 240)


@pytest.mark.parametrize("size", [(100, 63), (240, 400), (96, 60)])
def test_masks_of_another_shape_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    save_png(tmp_path / "m.png", np.ones(size[::-1], dtype=np.uint8))
    with pytest.raises(AnnotationError, match="Export a mask of the slide's whole field"):
        read(tmp_path / "m.png")


def test_a_mask_of_the_bounds_lies_over_them(tmp_path: Path) -> None:
    # 100 x 60 pixels on bounds of 200 x 120: 2 level-0 pixels each, from (50, 30) on.
    path = save_png(tmp_path / "m.png", LABELS)
    found = read(path, field=(300, 500), bounds=(50, 30, 200, 120))
    assert found.regions[0].geometry.equals(shapely.box(50 + 60, 30 + 20, 50 + 100, 30 + 40))


@pytest.mark.parametrize("layout", ["pages", "subifds"])
def test_a_coarser_level_is_read_when_the_mask_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    with tifffile.TiffWriter(tmp_path / "m.tif") as tiff:
        below = 1 if layout == "subifds" else 0
        # The full level is left blank: what is found comes from the smaller one.
        tiff.write(np.zeros((120, 200), np.uint8), tile=(16, 16), subifds=below, metadata=None)
        tiff.write(LABELS, tile=(16, 16), subfiletype=1, metadata=None)
    assert read(tmp_path / "m.tif").regions == ()
    monkeypatch.setattr(mask_files, "MAX_PX", 10_000)
    assert read(tmp_path / "m.tif").regions[0].geometry.equals(BOX)


@pytest.mark.parametrize("name", ["m.tif", "m.png"])
def test_a_large_mask_without_levels_is_thinned_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    labels = np.zeros((600, 1000), np.uint8)
    labels[100:200, 300:500] = 1
    if name == "m.tif":
        tifffile.imwrite(tmp_path / name, labels, tile=(64, 64))
    else:
        save_png(tmp_path / name, labels)
    monkeypatch.setattr(mask_files, "MAX_PX", 7_000)  # 1 in 10: ceil(sqrt(600,000 / 7,000))
    (region,) = read(tmp_path / name).regions
    assert region.geometry.symmetric_difference(BOX).area < 0.05 * BOX.area
    assert region.geometry.area == pytest.approx(BOX.area, rel=0.05)


@pytest.mark.parametrize("name", ["m.tif", "m.png"])
def test_colour_pictures_are_refused(tmp_path: Path, name: str) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (60, 100, 3), dtype=np.uint8)
    if name == "m.png":
        save_png(tmp_path / name, colours)
    else:
        tifffile.imwrite(tmp_path / name, colours, photometric="rgb")
    with pytest.raises(AnnotationError, match="a colour image, not a label mask"):
        read(tmp_path / name)


def test_jpeg_and_floats_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", LABELS * 255, compression="jpeg")
    with pytest.raises(AnnotationError, match="compressed as JPEG, which changes labels"):
        read(tmp_path / "m.tif")
    tifffile.imwrite(tmp_path / "f.tif", LABELS.astype(np.float32))
    with pytest.raises(AnnotationError, match="float32 values, not class numbers"):
        read(tmp_path / "f.tif")


@pytest.mark.parametrize("name", ["m.tif", "m.png"])
def test_damaged_files_are_sentences(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (600, 1000), dtype=np.uint8)
    if name == "m.tif":
        tifffile.imwrite(tmp_path / name, noise, compression="lzw", rowsperstrip=50)
    else:
        save_png(tmp_path / name, noise)
    whole = (tmp_path / name).read_bytes()
    for content in (whole[: len(whole) // 2], b"text, no picture", b""):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AnnotationError, match="cannot be read as"):
            read(tmp_path / name, field=(1000, 600))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_several_values_of_one_class_are_mentioned(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    labels = np.zeros((20, 40), np.uint8)
    labels[:10, :10], labels[10:, :10] = 1, 2
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        Image.fromarray(labels).save(path)
    else:
        tifffile.imwrite(path, labels)
    found = read_mask(path, AnnotationSettings(), Frame((40, 20), 1.0))
    assert area_level0(found, "tumour") == 200
    assert "the mask holds the values 1, 2, and the recipe has one class" in caplog.text


def test_negative_values_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((20, 40), -1, np.int8))
    with pytest.raises(AnnotationError, match="holds the value -1"):
        read_mask(tmp_path / "a.tif", AnnotationSettings(), Frame((40, 20), 1.0))
