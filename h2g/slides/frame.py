"""The coordinates of a slide, which its images, masks and heatmaps carry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """Level-0 pixels, x right and y down, from the corner of the slide's whole field.

    Attributes:
        field_level0: (width, height) of the slide in level-0 pixels.
        mpp: um/px of level 0.
        bounds_level0: (x, y, width, height) of the scanned part; None if it is the whole field.
    """

    field_level0: tuple[int, int]
    mpp: float
    bounds_level0: tuple[int, int, int, int] | None = None

    @property
    def scanned_level0(self) -> tuple[int, int, int, int]:
        """(x, y, width, height) of the scanned part; (x, y) is QuPath's origin."""
        return self.bounds_level0 or (0, 0, *self.field_level0)

    def pixel_level0(self, size_px: tuple[int, int]) -> tuple[float, float]:
        """(width, height) in level-0 pixels of a pixel of an image of the whole field.

        Args:
            size_px: (width, height) of the image.
        """
        return self.field_level0[0] / size_px[0], self.field_level0[1] / size_px[1]

    def pixel_um(self, size_px: tuple[int, int]) -> tuple[float, float]:
        """(width, height) in um of such a pixel; they differ slightly if sides are rounded."""
        width, height = self.pixel_level0(size_px)
        return width * self.mpp, height * self.mpp

    def pixel_mm2(self, size_px: tuple[int, int]) -> float:
        """Area of such a pixel."""
        width, height = self.pixel_um(size_px)
        return width * height / 1e6
