"""One module with the functions and classes that read slides."""

from h2g.slides.info import Level, SlideInfo, slide_info
from h2g.slides.patch_plan import PatchPlan
from h2g.slides.patches import plan_patches
from h2g.slides.planes import (
    Plane,
    WindowImage,
    low_resolution_size,
    read_low_resolution,
    read_plane,
    read_window_image,
)
from h2g.slides.pool import SlidePool
from h2g.slides.slide import Slide, describe_slide, open_slide

__all__ = [
    "Level",
    "PatchPlan",
    "Plane",
    "Slide",
    "SlideInfo",
    "SlidePool",
    "WindowImage",
    "describe_slide",
    "low_resolution_size",
    "open_slide",
    "plan_patches",
    "read_low_resolution",
    "read_plane",
    "read_window_image",
    "slide_info",
]
