"""Options that make networks of tiles small enough for tests; their layers stay the same."""

from __future__ import annotations

from typing import Any

NARROW: dict[str, dict[str, Any]] = {
    "unet_2015": {"filters": [8, 8, 16, 16]},
    "attention_unet": {"filters": [8, 8, 16, 16]},
    "trans_unet": {"filters": 32, "width": 24, "depth": 2, "heads": 3},
    "fpn": {"encoder": "resnet18"},
    "pspnet": {"encoder": "resnet18"},
    "hi_net": {"encoder": "resnet18"},
}
