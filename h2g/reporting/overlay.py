"""Overlays of results on a slide; only OpenCV is used, so that prediction needs no matplotlib."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from h2g.annotations.colours import class_colour
from h2g.slides.heatmap import Heatmap, draw_heatmap
from h2g.slides.png_files import write_png
from h2g.slides.reading import Plane

SIDE_PX = 2048
TRUTH_COLOUR = (20, 20, 20)
GAP_PX = 8


def draw_overlay(
    rgb: np.ndarray, labels: np.ndarray, *, truth: np.ndarray | None = None, fill: float = 0.22
) -> np.ndarray:
    """The slide with each class filled and outlined in its colour.

    The outline of the truth, if given, is dashed in black.

    Args:
        rgb: (h, w, 3) uint8, the slide's whole field.
        labels: (rows, cols) uint8 of the same field, of any size; 0 is background.
        truth: true labels, in the same form as ``labels``.
        fill: opacity of the fill.
    Returns:
        (h, w, 3) uint8.
    """
    image = rgb.copy()
    size_px = (rgb.shape[1], rgb.shape[0])
    resized = _fit_labels(labels, size_px)
    for index in range(1, int(resized.max(initial=0)) + 1):
        inside = resized == index
        colour = np.array(class_colour(index), np.float32)
        image[inside] = (1 - fill) * image[inside] + fill * colour
        outlines = _outlines(inside)
        cv2.drawContours(image, outlines, -1, class_colour(index), _line_px(size_px), cv2.LINE_AA)
    if truth is not None:
        _draw_truth(image, _fit_labels(truth, size_px))
    return image


def draw_heatmap_overlay(rgb: np.ndarray, heatmap: Heatmap, *, opacity: float = 0.65) -> np.ndarray:
    """Tumour probabilities (of the most probable tumour class) in colour over the grey slide.

    Args:
        rgb: (h, w, 3) uint8, the whole field of ``heatmap``.
        opacity: opacity of the colours on classified patches; elsewhere only the slide is drawn.
    Returns:
        (h, w, 3) uint8.
    """
    size_px = (rgb.shape[1], rgb.shape[0])
    values = draw_heatmap(heatmap, size_px)
    # Grey, so that the stain does not change the colours of the scale.
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colours = heatmap_colours(values[..., 1:].max(axis=-1))
    mixed = cv2.addWeighted(colours, opacity, grey, 1 - opacity, 0)
    classified = np.any(values, axis=-1, keepdims=True)
    return np.where(classified, mixed, grey)


def heatmap_colours(probability: np.ndarray) -> np.ndarray:
    """Colours of (h, w) probabilities, (h, w, 3) uint8 RGB, by a perceptually uniform map."""
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
    """Writes a PNG of the slide with its segmentation, of at most ``side_px`` per side.

    If a heatmap is given, a panel with it comes first. The two panels are placed along the slide's
    shorter side.
    """
    if heatmap is None:
        image = draw_overlay(shrink(plane.rgb, side_px), labels, truth=truth)
    else:
        height, width = plane.rgb.shape[:2]
        is_upright = height >= width
        # Both panels and the gap fit into side_px along the shorter side.
        panel_px = (side_px - GAP_PX) / 2 * max(height, width) / min(height, width)
        rgb = shrink(plane.rgb, min(side_px, int(panel_px)))
        gap_shape = (rgb.shape[0], GAP_PX, 3) if is_upright else (GAP_PX, rgb.shape[1], 3)
        panels = [
            draw_heatmap_overlay(rgb, heatmap),
            np.full(gap_shape, 255, np.uint8),
            draw_overlay(rgb, labels, truth=truth),
        ]
        image = np.concatenate(panels, axis=1 if is_upright else 0)
    write_png(path, image)


def shrink(rgb: np.ndarray, side_px: int) -> np.ndarray:
    """``rgb``, reduced to at most ``side_px`` per side if it is larger."""
    height, width = rgb.shape[:2]
    factor = side_px / max(height, width)
    if factor >= 1:
        return rgb
    size_px = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(rgb, size_px, interpolation=cv2.INTER_AREA)


def _fit_labels(labels: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Labels of the same field at another size, sampled at pixel centres."""
    return cv2.resize(labels.astype(np.uint8), size_px, interpolation=cv2.INTER_NEAREST_EXACT)


def _outlines(inside: np.ndarray) -> list[np.ndarray]:
    mask = inside.astype(np.uint8)
    return list(cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0])


def _line_px(size_px: tuple[int, int]) -> int:
    return max(1, round(max(size_px) / 500))


def _draw_truth(image: np.ndarray, truth: np.ndarray) -> None:
    """Draws a dashed outline, which differs from the segmentation's even without colour vision."""
    line_px = _line_px((image.shape[1], image.shape[0]))
    dash = 6 * line_px
    for index in range(1, int(truth.max(initial=0)) + 1):
        for outline in _outlines(truth == index):
            for start in range(0, len(outline), 2 * dash):
                piece = outline[start : start + dash]
                cv2.polylines(image, [piece], False, TRUTH_COLOUR, line_px, cv2.LINE_AA)
