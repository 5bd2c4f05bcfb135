"""PNG files that h2g writes and reads again.

OpenCV gets their bytes, because on Windows it opens no file whose name is not ASCII, and because it
does not report a full disk.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from h2g.files import replacing


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes (h, w, 3) RGB or (h, w) labels, uint8, whole or not at all."""
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    data = cv2.imencode(".png", stored)[1].tobytes()
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def read_png(path: Path) -> np.ndarray | None:
    """The pixels of :func:`write_png`; None if the file is missing or damaged."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    stored = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if stored is not None and stored.ndim == 3:
        return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
    return stored
