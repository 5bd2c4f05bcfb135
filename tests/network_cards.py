"""Cards of networks that are described and not there."""

from __future__ import annotations

from typing import Any

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, PATCH_INPUT
from h2g.folders.bundle import NetworkCard


def patch_card(*, px: int = 256, classes: int = 2, **more: Any) -> NetworkCard:
    values = {
        "architecture": "mobilenet_v2",
        "parameters": 1,
        "sha256": "a",
        "inputs": {PATCH_INPUT: (None, px, px, 3)},
        "output": (None, classes),
        "many": True,
        "sees": "patch -> probability of each class",
    }
    return NetworkCard(**{**values, **more})


def refinement_card(
    *,
    px: int = 1024,
    classes: int = 2,
    takes: tuple[str, ...] = (IMAGE_INPUT, HEATMAP_INPUT),
    **more: Any,
) -> NetworkCard:
    """
    Args:
        takes: names of its inputs.
    """
    channels = {IMAGE_INPUT: 3, HEATMAP_INPUT: classes - 1}
    values = {
        "architecture": "unet",
        "parameters": 1,
        "sha256": "b",
        "inputs": {name: (1, None, None, channels[name]) for name in takes},
        "output": (1, px, px, classes),
        "many": False,
        "sees": "slide -> class probabilities of the whole slide",
    }
    return NetworkCard(**{**values, **more})
