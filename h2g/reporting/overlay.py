"""Pictures of a slide with what was found on it; OpenCV only, so that prediction needs no plots."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from h2g.annotations.colours import class_colour
from h2g.files import replacing
from h2g.slides.heatmap import Heatmap, draw_heatmap
from h2g.slides.reading import Plane

SIDE_PX = 2048
TRUTH_COLOUR = (20, 20, 20)
GAP_PX = 8


def draw_overlay(
    rgb: np.ndarray, labels: np.ndarray, *, truth: np.ndarray | None = None, fill: float = 0.22
) -> np.ndarray:
    """The slide with each class filled in its colour and outlined, and the truth's outline dashed
    in black where it is given.

    Args:
        rgb: (h, w, 3) uint8, the slide's whole field.
        labels: (rows, cols) uint8 of the same field, any size; 0 is background.
        truth: like ``labels``.
        fill: opacity of the fill.
    Returns:
        (h, w, 3) uint8.
    """
    picture = rgb.copy()
    size_px = (rgb.shape[1], rgb.shape[0])
    fitted = _fit_labels(labels, size_px)
    for index in range(1, int(fitted.max(initial=0)) + 1):
        inside = fitted == index
        colour = np.array(class_colour(index), np.float32)
        picture[inside] = (1 - fill) * picture[inside] + fill * colour
        outlines = _outlines(inside)
        cv2.drawContours(picture, outlines, -1, class_colour(index), _line_px(size_px), cv2.LINE_AA)
    if truth is not None:
        _draw_truth(picture, _fit_labels(truth, size_px))
    return picture


def draw_heatmap_overlay(rgb: np.ndarray, heatmap: Heatmap, *, opacity: float = 0.65) -> np.ndarray:
    """Tumour probabilities (the largest of the tumour classes) in colour over the slide in grey.

    Args:
        rgb: (h, w, 3) uint8, the whole field of ``heatmap``.
        opacity: of the colours, where a patch was classified; elsewhere the slide is bare.
    Returns:
        (h, w, 3) uint8.
    """
    size_px = (rgb.shape[1], rgb.shape[0])
    drawn = draw_heatmap(heatmap, size_px)
    # Grey, so that the stain's colour does not mix into the scale's.
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colours = heatmap_colours(drawn[..., 1:].max(axis=-1))
    mixed = cv2.addWeighted(colours, opacity, grey, 1 - opacity, 0)
    classified = np.any(drawn, axis=-1, keepdims=True)
    return np.where(classified, mixed, grey)


def heatmap_colours(probability: np.ndarray) -> np.ndarray:
    """(h, w) probabilities as (h, w, 3) uint8 RGB of a perceptually even colour map (viridis)."""
    grey = np.round(np.clip(probability, 0, 1) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def write_overlay(
    path: Path,
    plane: Plane,
    labels: np.ndarray,
    heatmap: Heatmap | None = None,
    *,
    truth: np.ndarray | None = None,
    side_px: int = SIDE_PX,
) -> None:
    """Writes the slide with its segmentation, after the heatmap where one is given, as a PNG of at
    most ``side_px`` a side; the two stand along the slide's shorter side."""
    if heatmap is None:
        picture = draw_overlay(shrink(plane.rgb, side_px), labels, truth=truth)
    else:
        height, width = plane.rgb.shape[:2]
        beside = height >= width
        # The two of them and the gap fit into side_px along the shorter side.
        room_px = (side_px - GAP_PX) / 2 * max(height, width) / min(height, width)
        rgb = shrink(plane.rgb, min(side_px, int(room_px)))
        gap_shape = (rgb.shape[0], GAP_PX, 3) if beside else (GAP_PX, rgb.shape[1], 3)
        panels = [
            draw_heatmap_overlay(rgb, heatmap),
            np.full(gap_shape, 255, np.uint8),
            draw_overlay(rgb, labels, truth=truth),
        ]
        picture = np.concatenate(panels, axis=1 if beside else 0)
    write_png(path, picture)


def write_png(path: Path, rgb: np.ndarray) -> None:
    """Writes (h, w, 3) RGB or (h, w) uint8, whole or not at all."""
    pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if rgb.ndim == 3 else rgb
    # Not cv2.imwrite: it says nothing of a full disk.
    data = cv2.imencode(".png", pixels)[1].tobytes()
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def shrink(rgb: np.ndarray, side_px: int) -> np.ndarray:
    """``rgb`` reduced, where it is larger, to at most ``side_px`` a side."""
    height, width = rgb.shape[:2]
    factor = side_px / max(height, width)
    if factor >= 1:
        return rgb
    size_px = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(rgb, size_px, interpolation=cv2.INTER_AREA)


def _fit_labels(labels: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Labels of the same field at another size; pixel centres decide."""
    return cv2.resize(labels.astype(np.uint8), size_px, interpolation=cv2.INTER_NEAREST_EXACT)


def _outlines(inside: np.ndarray) -> list[np.ndarray]:
    mask = inside.astype(np.uint8)
    return list(cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0])


def _line_px(size_px: tuple[int, int]) -> int:
    return max(1, round(max(size_px) / 500))


def _draw_truth(picture: np.ndarray, truth: np.ndarray) -> None:
    """Dashed, so that it is told from the segmentation's outline without colour vision."""
    line_px = _line_px((picture.shape[1], picture.shape[0]))
    dash = 6 * line_px
    for index in range(1, int(truth.max(initial=0)) + 1):
        for outline in _outlines(truth == index):
            for start in range(0, len(outline), 2 * dash):
                piece = outline[start : start + dash]
                cv2.polylines(picture, [piece], False, TRUTH_COLOUR, line_px, cv2.LINE_AA)
