"""From heatmap to labels: through the refinement network, or drawn as it is without one."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from h2g.inference.engine import Engine
from h2g.recipes.preprocessing import Preprocessing
from h2g.slides.heatmap import Heatmap, draw_heatmap
from h2g.slides.reading import Plane, Slide, read_low_resolution

THRESHOLD = 0.5
STRIP_ROWS = 512


def refine_slide(
    slide: Slide, heatmap: Heatmap | None, engine: Engine, preprocessing: Preprocessing
) -> np.ndarray:
    """Class probabilities of the slide's whole field, (P, P, C) float32 with P the network's size.

    Args:
        heatmap: None of a model without patch stage.
    Raises:
        SlideError: the low-resolution level cannot be read.
    """
    return refine_plane(read_low_resolution(slide, preprocessing.low_resolution), heatmap, engine)


def refine_plane(plane: Plane, heatmap: Heatmap | None, engine: Engine) -> np.ndarray:
    """As :func:`refine_slide`, from the low-resolution picture.

    Both go in raw and whole: the deployed network scales and stretches them itself.
    """
    return engine.refine(plane.rgb, heatmap.values[..., 1:] if heatmap else None)


def labels_of(probabilities: np.ndarray) -> np.ndarray:
    """Labels by the rule of FAST's segmentation network.

    Among the classes above 0.5 (not at it) the largest, ties to the last, when it is also at least
    as large as background; else background.

    Args:
        probabilities: (..., C) with background first.
    Returns:
        (...) uint8.
    """
    labels = np.zeros(probabilities.shape[:-1], np.uint8)
    best = probabilities[..., 0].copy()
    for index in range(1, probabilities.shape[-1]):
        values = probabilities[..., index]
        wins = (values > THRESHOLD) & (values >= best)
        labels[wins] = index
        best[wins] = values[wins]
    return labels


def labels_at(probabilities: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Labels of probabilities that are first resized, bilinear with half-pixel centres.

    Done in strips, so that only the labels have the size of the picture.

    Args:
        probabilities: (P, P, C) float32 of the whole field.
        size_px: (width, height) of a picture of the same field.
    Returns:
        (height, width) uint8.
    """
    width, height = size_px
    rows = len(probabilities)
    labels = np.empty((height, width), np.uint8)
    for start in range(0, height, STRIP_ROWS):
        stop = min(start + STRIP_ROWS, height)
        places = np.clip((np.arange(start, stop) + 0.5) * rows / height - 0.5, 0, rows - 1)
        above = places.astype(int)
        below = np.minimum(above + 1, rows - 1)
        share = (places - above).astype(np.float32)[:, None, None]
        strip = (1 - share) * probabilities[above] + share * probabilities[below]
        strip = cv2.resize(strip, (width, stop - start), interpolation=cv2.INTER_LINEAR)
        labels[start:stop] = labels_of(strip)
    return labels


def patchwise_labels(heatmap: Heatmap, size_px: tuple[int, int]) -> np.ndarray:
    """Labels of the heatmap alone, each pixel that of the patch it lies in.

    Args:
        size_px: (width, height) of a picture of the slide's whole field.
    Returns:
        (height, width) uint8; 0 where no patch was classified.
    """
    labels = labels_of(heatmap.values)[..., None]
    return draw_heatmap(dataclasses.replace(heatmap, values=labels), size_px)[..., 0]
