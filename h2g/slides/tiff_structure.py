"""What a TIFF file holds beside the pixels that OpenSlide and Pillow read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tifffile

# imagecodecs raises RuntimeErrors for data that it cannot decompress.
READ_FAILURES = (
    OSError,
    tifffile.TiffFileError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
)
# OME-XML's units of length; its default is the micrometre.
UM_PER_OME_UNIT = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "Å": 1e-4,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25_400.0,
}


@dataclass(frozen=True)
class TiffStructure:
    """Facts about a TIFF file that its readers do not tell.

    Attributes:
        planes: pages as large as the first, with the first.
        channels: samples per pixel of the first page.
        has_opacity: whether a fourth channel stands behind RGB, without being declared as opacity.
        has_sub_levels: whether lower levels are in SubIFDs, which OpenSlide does not read.
        mpp_xy: um/px along x and y in OME-XML; None where it names none.
    """

    planes: int = 1
    channels: int = 3
    has_opacity: bool = False
    has_sub_levels: bool = False
    mpp_xy: tuple[float | None, float | None] = (None, None)

    @property
    def has_planes(self) -> bool:
        """Whether each channel is a page of its own, of which readers show the first in grey."""
        return self.channels == 1 and self.planes > 1

    @property
    def problems(self) -> tuple[str, ...]:
        """Phrases for the user, like :attr:`SlideInfo.problems`."""
        found = []
        if self.planes > 1:
            found.append(f"{self.planes} pictures of full size; only the first is read")
        if self.channels == 1:
            found.append("one channel, so the picture is grey; stained slides have RGB")
        if self.has_opacity:
            found.append("a fourth channel without a name, which is read as opacity")
        if self.has_sub_levels:
            found.append("its lower levels are in SubIFDs, which OpenSlide does not read")
        return tuple(found)


def tiff_structure(path: Path) -> TiffStructure | None:
    """The structure of a TIFF file; None if it is none, or if it cannot be read."""
    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.pages.first
            return TiffStructure(
                planes=sum(page.shape == first.shape for page in tiff.pages),
                channels=int(first.samplesperpixel),
                has_opacity=first.samplesperpixel == 4 and 0 in first.extrasamples,
                has_sub_levels=bool(first.subifds),
                mpp_xy=_ome_mpp(tiff.ome_metadata),
            )
    except READ_FAILURES:
        return None


def _ome_mpp(document: str | None) -> tuple[float | None, float | None]:
    try:
        pixels = ElementTree.fromstring(document or "").find(".//{*}Pixels")
    except ElementTree.ParseError:
        pixels = None
    if pixels is None:
        return None, None
    return _um(pixels, "X"), _um(pixels, "Y")


def _um(pixels: ElementTree.Element, axis: str) -> float | None:
    unit = UM_PER_OME_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    try:
        value = float(pixels.get(f"PhysicalSize{axis}", "")) * (unit or math.nan)
    except ValueError:
        return None
    return value if value > 0 and math.isfinite(value) else None
