"""Flaws of sections and their glass: tears, folds, dust and ink."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from h2g.phantom.anatomy import Anatomy
from h2g.phantom.frame import Frame
from h2g.phantom.shapes import Blob, Room, draw_blob, no_blobs

INKS = ((40, 60, 150), (30, 110, 70), (40, 40, 45))
DIRT = (120, 110, 95)


@dataclass(frozen=True)
class Overlay:
    """Ink or dirt on the glass: its amount, (rows, cols) uint8, and its colour."""

    amount: np.ndarray
    rgb: tuple[int, int, int]


def draw_tears(
    tissue: np.ndarray, frame: Frame, anatomy: Anatomy, rng: np.random.Generator
) -> np.ndarray:
    """Holes in the sections, (rows, cols) bool."""
    room, field = Room.of(tissue), no_blobs(frame.shape)
    for _ in range(round(anatomy.tears_per_mm2 * float(tissue.sum()) * frame.cell_mm2)):
        radius = frame.cells(rng.uniform(120, 260))
        place = room.find(rng, radius=2 * radius, apart=0)
        if place is not None:
            blob = Blob(place, radius, rough=0.15, bays=frame.cells(12))
            draw_blob(field, blob, rng, margin=2)
    return field > 0


def draw_folds(
    tissue: np.ndarray, frame: Frame, anatomy: Anatomy, rng: np.random.Generator
) -> np.ndarray:
    """Folds, (rows, cols) uint8 with 255 in the curved bands where a section lies double."""
    rows, cols = frame.shape
    fold = np.zeros(frame.shape, np.uint8)
    for _ in range(int(rng.integers(anatomy.folds[0], anatomy.folds[1] + 1))):
        start = rng.uniform(0.2, 0.8, 2) * (cols, rows)
        path = _curve(start, rng, steps=int(rng.integers(30, 90)), step=frame.cells(25), turn=0.02)
        _stroke(fold, path, width=frame.cells(rng.uniform(30, 70)), value=255)
    fold[~tissue] = 0
    return cv2.GaussianBlur(fold, (0, 0), 0.8)


def draw_overlays(
    tissue: np.ndarray, frame: Frame, anatomy: Anatomy, rng: np.random.Generator
) -> tuple[Overlay, ...]:
    """Dust on every slide, and a pen stroke on some."""
    dust = _dust(frame, anatomy, rng)
    if rng.random() >= anatomy.pen_probability:
        return (dust,)
    return (dust, _pen(tissue, frame, rng))


def _dust(frame: Frame, anatomy: Anatomy, rng: np.random.Generator) -> Overlay:
    rows, cols = frame.shape
    amount = np.zeros(frame.shape, np.uint8)
    for _ in range(rng.poisson(anatomy.dust_per_mm2 * rows * cols * frame.cell_mm2)):
        start = rng.uniform(0, 1, 2) * (cols, rows)
        walk = np.cumsum(rng.normal(0, 1.2, (int(rng.integers(1, 12)), 2)), axis=0)
        _stroke(amount, start + walk, width=1, value=int(rng.integers(60, 200)))
    return Overlay(amount, DIRT)


def _pen(tissue: np.ndarray, frame: Frame, rng: np.random.Generator) -> Overlay:
    """A pen stroke that starts beside the tissue and may cross its edge."""
    amount = np.zeros(frame.shape, np.uint8)
    distance = cv2.distanceTransform((~tissue).astype(np.uint8), cv2.DIST_L2, 3)
    starts = np.argwhere((distance > 0) & (distance < frame.cells(250)))
    if len(starts):
        start = starts[rng.integers(len(starts))][::-1].astype(float)
        steps, turn = int(rng.integers(12, 40)), float(rng.normal(0, 0.06))
        path = _curve(start, rng, steps=steps, step=frame.cells(60), turn=turn)
        _stroke(amount, path, width=frame.cells(rng.uniform(150, 320)), value=225)
        amount = cv2.GaussianBlur(amount, (0, 0), 1.5).astype(np.uint8)
    return Overlay(amount, INKS[int(rng.integers(len(INKS)))])


def _curve(
    start: np.ndarray, rng: np.random.Generator, *, steps: int, step: float, turn: float
) -> np.ndarray:
    """Points (x, y) of a curve, (steps, 2), ``step`` cells apart, turning by about ``turn``."""
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(turn, 0.05, steps))
    return start + np.cumsum(step * np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0)


def _stroke(raster: np.ndarray, points: np.ndarray, *, width: float, value: int) -> None:
    line = np.round(points).astype(np.int32)
    cv2.polylines(raster, [line], isClosed=False, color=value, thickness=max(1, round(width)))
