"""The sections on the glass, and their regions of tumour and of look-alikes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from h2g.phantom.anatomy import Anatomy
from h2g.phantom.frame import Frame
from h2g.phantom.noise import share_threshold, smooth_noise
from h2g.phantom.shapes import Blob, Place, Room, draw_blob, no_blobs, without_specks

EDGE_SHARE = 0.05  # width of the glass around the sections, as a share of the shorter side


# As a scanner sees them: glass on each side as a share of that side, the section's length to its
# width, and the tissue as a share of what the glass leaves.
GLASS_SHARE = (0.03, 0.2)
OBLONG = (1.0, 2.2)
TISSUE_SHARE = 0.8


def draw_sections(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Tissue, (rows, cols) bool: one section, or two that touch."""
    rows, cols = frame.shape
    side = min(rows, cols)
    field = no_blobs(frame.shape)
    if rng.random() < 0.6:
        middles, radius = [(0.5, 0.5)], 0.44 * side
    else:
        middles, radius = [(0.32, 0.36), (0.66, 0.64)], 0.29 * side
    for middle in middles:
        row, col = (middle + rng.uniform(-0.03, 0.03, 2)) * (rows, cols)
        blob = Blob(Place(row, col), radius, rough=0.1, bays=frame.cells(60))
        draw_blob(field, blob, rng, margin=side / 2)
    y, x = np.ogrid[:rows, :cols]
    edge = np.minimum(np.minimum(y, rows - 1 - y), np.minimum(x, cols - 1 - x)).astype(np.float32)
    edge += np.float32(0.012 * side) * smooth_noise(rng, frame.shape, cells=0.1 * side)
    field[edge < EDGE_SHARE * side] = -np.inf
    tissue = field > share_threshold(field, anatomy.tissue_share)
    return without_specks(tissue, least_cells=frame.cells(500))


def draw_scanned_sections(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Tissue, (rows, cols) bool: sections turned by any angle, with more or less glass around."""
    rows, cols = frame.shape
    glass = rng.uniform(*GLASS_SHARE, (2, 2)) * np.array([[rows], [cols]])
    (top, bottom), (left, right) = glass
    box = rows - top - bottom, cols - left - right
    middle = np.array([top + box[0] / 2, left + box[1] / 2])
    oblong, angle = rng.uniform(*OBLONG), rng.uniform(0, np.pi)
    axis = np.array([np.sin(angle), np.cos(angle)])
    # The longest section of this angle that fits into the box, with a radius across its length.
    lengths = oblong * np.abs(axis) + np.abs(axis[::-1])
    radius = float((np.array(box) / 2 / lengths).min())
    reach = (oblong - 1) * radius
    field = no_blobs(frame.shape)
    for along in np.linspace(-reach, reach, 2 + round(oblong)):
        row, col = middle + along * axis
        blob = Blob(Place(row, col), radius, rough=0.1, bays=frame.cells(60))
        draw_blob(field, blob, rng, margin=min(rows, cols) / 2)
    y, x = np.ogrid[:rows, :cols]
    inside = np.minimum(
        np.minimum(y - top, rows - bottom - y), np.minimum(x - left, cols - right - x)
    )
    waves = smooth_noise(rng, frame.shape, cells=0.1 * min(rows, cols))
    field[inside + np.float32(0.012 * min(rows, cols)) * waves < 0] = -np.inf
    share = TISSUE_SHARE * min(box[0] * box[1], 4 * oblong * radius**2) / (rows * cols)
    return without_specks(field > share_threshold(field, share), least_cells=frame.cells(500))


@dataclass(frozen=True)
class Regions:
    """Distances in cells to the regions' outlines, positive inside, (rows, cols) float32 each.

    Attributes:
        tumour: all tumour, including satellites.
        satellites: the small nodules of tumour.
        lookalike: regions of look-alikes.
    """

    tumour: np.ndarray
    satellites: np.ndarray
    lookalike: np.ndarray


def draw_regions(
    tissue: np.ndarray, frame: Frame, anatomy: Anatomy, rng: np.random.Generator
) -> Regions:
    """Draws tumour and look-alikes from one distribution of size, outline and place."""
    room = Room.of(tissue)
    tissue_mm2 = float(tissue.sum()) * frame.cell_mm2
    large, lookalike, satellites = (no_blobs(frame.shape) for _ in range(3))
    wanted = [
        (float(area), field)
        for field, share in ((large, anatomy.tumour_share), (lookalike, anatomy.lookalike_share))
        for area in _areas_mm2(share * tissue_mm2, anatomy.region_mm2, rng)
    ]
    for number in rng.permutation(len(wanted)):
        area, field = wanted[number]
        radius = frame.cells(1000 * np.sqrt(area / np.pi))
        place = room.roomiest(rng, radius=radius, apart=frame.cells(60))
        blob = Blob(place, radius, rough=0.16, bays=frame.cells(anatomy.bays_um))
        draw_blob(field, blob, rng, margin=frame.cells(300))
    for _ in range(round(anatomy.satellites_per_mm2 * tissue_mm2)):
        radius = frame.cells(rng.uniform(*anatomy.nodule_radius_um))
        free_place = room.find(rng, radius=radius, apart=frame.cells(150))
        if free_place is not None:
            draw_blob(
                satellites, Blob(free_place, radius, rough=0.06), rng, margin=frame.cells(300)
            )
    tumour = np.maximum(large, satellites)
    # Where the two meet, a narrow band of stroma separates them.
    np.minimum(lookalike, -tumour - np.float32(frame.cells(80)), out=lookalike)
    return Regions(tumour, satellites, lookalike)


def _areas_mm2(total: float, mean: float, rng: np.random.Generator) -> np.ndarray:
    if not total:
        return np.empty(0)
    weights = rng.uniform(0.6, 1.4, max(1, round(total / mean)))
    return total * weights / weights.sum()


def draw_outline(regions: Regions, tissue: np.ndarray, frame: Frame) -> np.ndarray:
    """The pathologist's outline, (rows, cols) bool: the regions', smoothed, within the tissue."""
    field = np.clip(regions.tumour, -20, None)  # far negative values would shift the edge
    smooth = cv2.GaussianBlur(field, (0, 0), frame.cells(30))
    return without_specks((smooth > 0) & tissue, least_cells=frame.cells(130))
