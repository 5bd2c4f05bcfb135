"""Distances between the outlines of a segmentation and the true outlines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

# Outlines this close count as equal: the side of the paper's patch, the heatmap's resolution.
TOLERANCE_UM = 256.0


@dataclass(frozen=True)
class BoundaryScore:
    """Scores of the outlines of one class on one slide.

    Attributes:
        hausdorff95_um: the larger of the two 95th percentiles of the distance from one outline's
            pixels to the other outline. 0 if there is neither outline, None if there is only one.
        f1: harmonic mean of the shares of predicted and true outline within ``TOLERANCE_UM`` of
            the other. 1 if there is neither outline, 0 if there is only one.
    """

    hausdorff95_um: float | None
    f1: float


def boundary_score(
    found: np.ndarray,
    truth: np.ndarray,
    *,
    pixel_um: tuple[float, float],
    unknown: np.ndarray | None = None,
) -> BoundaryScore:
    """Compares the outlines of two masks.

    Args:
        found, truth: (h, w) bool. A mask has no outline along the edge of the field.
        pixel_um: (width, height) of a pixel.
        unknown: pixels without truth, (h, w) bool; outlines in them or along them do not count.
    """
    if unknown is None or not unknown.any():
        outlines = [_outline(mask) for mask in (found, truth)]
    else:
        outlines = [_outline(mask | unknown) & ~unknown for mask in (found, truth)]
    present = [bool(outline.any()) for outline in outlines]
    if not all(present):
        return BoundaryScore(None, 0.0) if any(present) else BoundaryScore(0.0, 1.0)
    sampling = (pixel_um[1], pixel_um[0])
    to_found, to_truth = (distance_transform_edt(~o, sampling=sampling) for o in outlines)
    distances = [to_truth[outlines[0]], to_found[outlines[1]]]
    precision, recall = (float(np.mean(d <= TOLERANCE_UM)) for d in distances)
    total = precision + recall
    return BoundaryScore(
        hausdorff95_um=float(max(np.percentile(d, 95) for d in distances)),
        f1=2 * precision * recall / total if total else 0.0,
    )


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask that share an edge with its outside."""
    return mask & ~binary_erosion(mask, border_value=1)
