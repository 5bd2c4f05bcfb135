"""TIFF files that other programs write: planes, SubIFDs, OME-XML, a fourth channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from h2g.errors import SlideError
from h2g.slides.slide import describe_slide, open_slide

PIXELS = np.full((512, 640, 3), (200, 130, 180), np.uint8)
TILES: dict[str, Any] = {"tile": (256, 256), "compression": "deflate"}


def ome(*, mpp: object, unit: str | None = "µm", axes: str = "YXS") -> dict[str, Any]:
    sizes = {f"PhysicalSize{axis}": mpp for axis in "XY"}
    units = {f"PhysicalSize{axis}Unit": unit for axis in "XY"} if unit else {}
    return {"axes": axes, **sizes, **units}


@pytest.mark.parametrize("options", [TILES, {}], ids=["tiles", "strips"])
def test_colours_in_three_planes_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    file = tmp_path / "a.ome.tif"
    planes = np.moveaxis(PIXELS, -1, 0)
    metadata = ome(mpp=2.0, axes="CYX")
    tifffile.imwrite(file, planes, photometric="minisblack", metadata=metadata, **options)
    with pytest.raises(SlideError, match="a.ome.tif: its channels are 3 pictures .*raw2ometiff"):
        open_slide(file, mpp=2.0)


@pytest.mark.parametrize(
    ("mpp", "unit", "right"),
    [(2.0, "µm", 2.0), (2.0, None, 2.0), (500, "nm", 0.5), (0.00025, "mm", 0.25), (1, "Å", None),
     (1, "pixel", None)],
)  # fmt: skip
def test_um_per_px_in_ome_xml(
    tmp_path: Path, mpp: float, unit: str | None, right: float | None
) -> None:
    file = tmp_path / "a.ome.tif"
    tifffile.imwrite(file, PIXELS, photometric="rgb", metadata=ome(mpp=mpp, unit=unit), **TILES)
    info = describe_slide(file)
    assert info.mpp == (pytest.approx(right) if right else None)
    assert info.mpp_source == ("OME-XML" if right else "none")


def test_ome_xml_goes_before_tags_and_a_contradiction_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.ome.tif"
    tags = {"resolution": (5000, 5000), "resolutionunit": "CENTIMETER"}  # 2 um/px
    tifffile.imwrite(file, PIXELS, photometric="rgb", metadata=ome(mpp=0.25), **tags, **TILES)
    info = describe_slide(file)
    assert (info.mpp, info.mpp_xy) == (0.25, (0.25, 0.25))
    assert info.problems == ("OME-XML's 0.25 um/px contradicts the TIFF tags' 2",)


def test_levels_in_sub_ifds_and_further_pictures_are_told(tmp_path: Path) -> None:
    file = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(file, ome=True) as tiff:
        tiff.write(PIXELS, subifds=1, photometric="rgb", metadata=ome(mpp=2.0), **TILES)
        tiff.write(PIXELS[::4, ::4], subfiletype=1, photometric="rgb", **TILES)
    info = describe_slide(file)
    assert len(info.levels) == 1
    assert info.problems == ("its lower levels are in SubIFDs, which OpenSlide does not read",)

    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.stack([PIXELS, PIXELS]), photometric="rgb", **TILES)
    assert describe_slide(stack, mpp=2.0).problems == (
        "2 pictures of full size; only the first is read",
    )


def test_one_channel_and_a_fourth_one_are_told(tmp_path: Path) -> None:
    grey = tmp_path / "grey.tif"
    tifffile.imwrite(grey, PIXELS[..., 0], photometric="minisblack", **TILES)
    assert "one channel, so the picture is grey" in describe_slide(grey, mpp=2.0).problems[0]

    four = tmp_path / "four.tif"
    more = np.concatenate([PIXELS, PIXELS[..., :1] * 0], axis=2)
    options = {"photometric": "rgb", "extrasamples": ["unspecified"], "planarconfig": "contig"}
    tifffile.imwrite(four, more, **options, **TILES)
    assert "which is read as opacity" in describe_slide(four, mpp=2.0).problems[0]
