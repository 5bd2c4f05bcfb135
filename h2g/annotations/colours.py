"""One colour per class, the same in GeoJSON, overlays and plots."""

from __future__ import annotations

import colorsys

BACKGROUND = (128, 128, 128)
# Tumour first, in QuPath's own red; then hues that stand out from haematoxylin and eosin.
PALETTE = (
    (200, 0, 0),
    (0, 150, 60),
    (255, 190, 0),
    (0, 120, 220),
    (150, 75, 0),
    (0, 190, 190),
)
GOLDEN_TURN = 0.618034  # fraction of the hue circle, so that successive classes differ clearly


def class_colour(index: int) -> tuple[int, int, int]:
    """RGB in 0..255 of class ``index``; 0 is background."""
    if index == 0:
        return BACKGROUND
    if index <= len(PALETTE):
        return PALETTE[index - 1]
    red, green, blue = colorsys.hsv_to_rgb(index * GOLDEN_TURN % 1.0, 0.9, 0.8)
    return round(red * 255), round(green * 255), round(blue * 255)
