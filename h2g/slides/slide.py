"""Slides read with OpenSlide, and plain images read with its ImageSlide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import openslide

from h2g.errors import SlideError
from h2g.recipes.preprocessing import PatchSettings
from h2g.slides.damage import Damage, parts_of
from h2g.slides.images import IMAGE_SUFFIXES, image_properties, load_image
from h2g.slides.info import GENERIC_TIFF, OME_MPP, Level, SlideInfo, slide_info
from h2g.slides.source_level import source_level
from h2g.slides.tiff_structure import TiffStructure, tiff_structure

# Side of a tile where the format does not tell it.
TILE_PX = 256


class Slide:
    """An open slide with a known resolution; a context manager.

    Reading from several threads is safe, but not of a slide that takes damaged tiles as missing.
    Closing it while a thread reads is not.
    """

    def __init__(
        self,
        info: SlideInfo,
        handle: openslide.AbstractSlide,
        damage: Damage | None = None,
    ) -> None:
        self.info = info
        self.failed = False  # after a failed read OpenSlide refuses all others
        self._handle = handle
        self._damage = damage
        self._cache: openslide.OpenSlideCache | None = None

    def read_level(
        self, *, level: int, xy_level0: tuple[int, int], size_px: tuple[int, int]
    ) -> np.ndarray:
        """Pixels of a level from a level-0 position on; transparent or outside pixels are white.

        Args:
            size_px: (width, height) in pixels of the level.
        Returns:
            (height, width, 3) uint8 RGB.
        Raises:
            SlideError: the pixels cannot be decoded, and damaged tiles are not taken as missing.
        """
        try:
            # OpenSlide is called through ctypes, so other threads run meanwhile.
            rgba = np.asarray(self._handle.read_region(xy_level0, level, size_px))
        except (openslide.OpenSlideError, OSError, ValueError) as error:
            if self._damage is not None and not self.is_image:
                return self._read_around(level, xy_level0, size_px)
            self.failed = True
            raise SlideError(
                f"{self.info.path.name}: level {level} cannot be read at {xy_level0} ({error}). "
                "The file is damaged or incomplete; copy it again, or leave out damaged tiles with "
                "h2g predict --skip-damaged."
            ) from error
        return _on_white(rgba)

    def _read_around(
        self, level: int, xy_level0: tuple[int, int], size_px: tuple[int, int]
    ) -> np.ndarray:
        """The pixels of a level that cannot be read at once; damaged tiles are white."""
        self._open_again()
        downsample = self.info.levels[level].downsample
        tile_px = self._tile_px(level)
        left, top = (round(side / downsample) for side in xy_level0)
        rgb = np.full((size_px[1], size_px[0], 3), 255, np.uint8)
        waiting = [(left, top, *size_px)]
        while waiting:
            box = waiting.pop()
            x, y, width, height = box
            try:
                place = (round(x * downsample), round(y * downsample))
                rgba = np.asarray(self._handle.read_region(place, level, (width, height)))
                rgb[y - top : y - top + height, x - left : x - left + width] = _on_white(rgba)
            except (openslide.OpenSlideError, OSError, ValueError):
                self._open_again()
                parts = list(parts_of(box, tile_px))
                waiting += parts
                if not parts and self._damage is not None:
                    self._damage.tiles.add((level, x // tile_px[0], y // tile_px[1]))
        return rgb

    def _tile_px(self, level: int) -> tuple[int, int]:
        sides = [
            self._handle.properties.get(f"openslide.level[{level}].tile-{side}", TILE_PX)
            for side in ("width", "height")
        ]
        return int(sides[0]), int(sides[1])

    def _open_again(self) -> None:
        """Replaces the handle, since OpenSlide reads nothing more after a failed read."""
        self._handle.close()
        try:
            self._handle = openslide.OpenSlide(self.info.path)
        except (openslide.OpenSlideError, OSError) as error:
            self.failed = True
            raise SlideError(
                f"{self.info.path.name}: cannot be opened any more ({error})."
            ) from error
        if self._cache is not None:
            self._handle.set_cache(self._cache)

    def read_patch(self, *, xy_level0: tuple[int, int], size_px: int, mpp: float) -> np.ndarray:
        """A square patch from any position; white outside the slide.

        Args:
            xy_level0: (x, y) of the patch's upper left corner in level-0 pixels.
            mpp: wanted um/px.
        Returns:
            (size_px, size_px, 3) uint8 RGB.
        Raises:
            SlideError: every level is coarser than ``mpp``, or the pixels cannot be decoded.

        Example:
            >>> import h2g
            >>> with h2g.open_slide("slide.tiff") as slide:
            ...     slide.read_patch(xy_level0=(100, 100), size_px=64, mpp=1.0).shape
            (64, 64, 3)
        """
        level, read_px = source_level(self.info, PatchSettings(mpp=mpp, size_px=size_px))
        return self.read_square(level=level, xy_level0=xy_level0, read_px=read_px, size_px=size_px)

    def read_square(
        self, *, level: int, xy_level0: tuple[int, int], read_px: int, size_px: int
    ) -> np.ndarray:
        """A square of ``read_px`` pixels of a level, reduced to ``size_px``; white outside.

        Returns:
            (size_px, size_px, 3) uint8 RGB.
        Raises:
            SlideError: the pixels cannot be decoded.
        """
        patch = self.read_level(level=level, xy_level0=xy_level0, size_px=(read_px, read_px))
        if read_px == size_px:
            return patch
        return cv2.resize(patch, (size_px, size_px), interpolation=cv2.INTER_AREA)

    @property
    def is_image(self) -> bool:
        """Whether this is a plain image, decoded in memory."""
        return isinstance(self._handle, openslide.ImageSlide)

    def use_cache(self, cache: openslide.OpenSlideCache) -> None:
        """Keeps decoded tiles in a cache that other slides share."""
        if not self.is_image:
            self._cache = cache
            self._handle.set_cache(cache)

    def close(self) -> None:
        self._handle.close()

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_slide(
    path: str | Path, *, mpp: float | None = None, damage: Damage | None = None
) -> Slide:
    """Opens a slide for reading.

    Args:
        mpp: um/px of level 0, which replaces the slide's own.
        damage: takes damaged tiles as missing (white) and collects them; None refuses to read them.
    Raises:
        SlideError: the file is missing, not a slide, damaged, or has no resolution.

    Example:
        >>> import h2g
        >>> with h2g.open_slide("slide.tiff") as slide:
        ...     slide.info.field_level0
        (500, 420)
    """
    slide = _open(Path(path), mpp, damage)
    try:
        _ = slide.info.known_mpp
    except SlideError:
        slide.close()
        raise
    return slide


def describe_slide(path: str | Path, *, mpp: float | None = None) -> SlideInfo:
    """Description of a slide, whose resolution may be unknown.

    Raises:
        SlideError: the file is missing, not a slide, or damaged. The last pixel of each level is
            read to detect truncated files.
    """
    with _open(Path(path), mpp) as slide:
        for level, (width, height) in enumerate(lv.size_px for lv in slide.info.levels):
            downsample = slide.info.levels[level].downsample
            corner = (int((width - 1) * downsample), int((height - 1) * downsample))
            slide.read_level(level=level, xy_level0=corner, size_px=(1, 1))
        return slide.info


def _open(path: Path, mpp: float | None, damage: Damage | None = None) -> Slide:
    if mpp is not None and not (mpp > 0 and math.isfinite(mpp)):
        raise SlideError(
            f"{path.name}: the given um/px is {mpp:g}. Give a positive number, e.g. 0.25."
        )
    if not path.exists():
        raise SlideError(f"{path}: no such file.")
    if path.is_dir():
        raise SlideError(f"{path}: this is a folder. Name a slide in it.")
    try:
        handle: openslide.AbstractSlide = openslide.OpenSlide(path)
        properties: Mapping[str, str] = handle.properties
    except openslide.OpenSlideUnsupportedFormatError as error:
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise SlideError(
                f"{path.name}: OpenSlide does not know this format. The file is not a slide, "
                "or it is damaged or incomplete."
            ) from error
        image = load_image(path)
        handle, properties = openslide.ImageSlide(image), image_properties(image)
    except openslide.OpenSlideError as error:
        raise SlideError(
            f"{path.name}: OpenSlide cannot open it ({error}). The file is damaged or incomplete; "
            "copy it again."
        ) from error
    levels = [
        Level((int(size[0]), int(size[1])), float(downsample))
        for size, downsample in zip(handle.level_dimensions, handle.level_downsamples, strict=True)
    ]
    structure = _structure(path, properties)
    if structure is None:
        return Slide(slide_info(path, properties, levels, mpp=mpp), handle, damage)
    if structure.has_planes:
        handle.close()
        raise SlideError(
            f"{path.name}: its channels are {structure.planes} pictures of one channel each, of "
            "which only the first would be read, in grey. Convert it to a TIFF with RGB pixels; "
            "bioformats2raw and then raw2ometiff --rgb do."
        )
    own_mpp = zip("xy", structure.mpp_xy, strict=True)
    properties = {**properties, **{f"{OME_MPP}{axis}": str(side) for axis, side in own_mpp if side}}
    info = slide_info(path, properties, levels, mpp=mpp, problems=structure.problems)
    return Slide(info, handle, damage)


def _structure(path: Path, properties: Mapping[str, str]) -> TiffStructure | None:
    """The structure of TIFF files that no scanner's reader has opened; None for others."""
    vendor = properties.get("openslide.vendor")
    return tiff_structure(path) if vendor in (GENERIC_TIFF, "plain TIFF") else None


def _on_white(rgba: np.ndarray) -> np.ndarray:
    if rgba[..., 3].min() == 255:  # nearly always; compositing takes a third of the read time
        return cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
