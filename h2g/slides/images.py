"""Plain images (PNG, JPEG, TIFF without tiles), decoded as a whole."""

from __future__ import annotations

import struct
import threading
from pathlib import Path

from PIL import Image

from h2g.errors import SlideError

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
IMAGE_SUFFIXES = TIFF_SUFFIXES | {".png", ".jpg", ".jpeg", ".bmp"}
LARGEST_IMAGE_PX = 2**30  # 3 GiB of RGB
TIFF_UNITS = {2: "inch", 3: "centimeter"}
_pillow_guard = threading.Lock()


def load_image(path: Path) -> Image.Image:
    """Decodes an image.

    Pillow rejects large images as attacks. Here only images that do not fit in memory are rejected.

    Raises:
        SlideError: not an image, damaged, too large, or not 8 bits per channel.
    """
    try:
        image = _open(path)
        if image.width * image.height > LARGEST_IMAGE_PX:
            raise SlideError(
                f"{path.name}: {image.width} x {image.height} pixels are too many for an image "
                "without tiles, which is decoded as a whole. Convert it to a pyramid: vips "
                "tiffsave IMAGE SLIDE.tif --tile --pyramid --compression jpeg."
            )
        if image.mode.startswith(("I", "F")):
            raise SlideError(f"{path.name}: not 8 bits per channel. Convert it to 8-bit RGB.")
        image.load()
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise SlideError(
            f"{path.name}: not a readable slide or image ({error}). The file has another format, "
            "or it is damaged or incomplete."
        ) from error
    return image


def image_properties(image: Image.Image) -> dict[str, str]:
    """Format and TIFF resolution tags of an image, under OpenSlide's names."""
    tags = getattr(image, "tag_v2", {})
    properties = {
        "openslide.vendor": f"plain {image.format}",
        "tiff.ResolutionUnit": TIFF_UNITS.get(tags.get(296, 2), "none"),
    }
    for name, number in (("tiff.XResolution", 282), ("tiff.YResolution", 283)):
        if number in tags:
            properties[name] = str(float(tags[number]))
    return properties


def _open(path: Path) -> Image.Image:
    with _pillow_guard:  # the limit is shared by the whole process
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
