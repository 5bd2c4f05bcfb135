"""The plan of a slide on a grid of about 8 um: its tissues and its tumour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from h2g.phantom.anatomy import Anatomy, Grade, Tissue
from h2g.phantom.flaws import Overlay, draw_folds, draw_overlays, draw_tears
from h2g.phantom.frame import Frame
from h2g.phantom.growth import Bed, draw_classes
from h2g.phantom.noise import smooth_noise
from h2g.phantom.regions import (
    draw_outline,
    draw_regions,
    draw_scanned_sections,
    draw_sections,
)


@dataclass(frozen=True)
class Plan:
    """Tissues, outline, stain and flaws of a slide; arrays are (rows, cols) of ``frame``.

    Attributes:
        classes: uint8, values of ``Tissue``.
        outline: bool, the pathologist's tumour: nests, and the stroma, fat and necrosis between
            them.
        shade: float32, relative amount of stain, around 1.
        mottle: float32, mean 0 and deviation 1, which some tissues add to ``shade``.
        fold: uint8, 255 where the section lies double.
        overlays: ink and dirt on the glass.
    """

    frame: Frame
    grade: Grade
    classes: np.ndarray
    outline: np.ndarray
    shade: np.ndarray
    mottle: np.ndarray
    fold: np.ndarray
    overlays: tuple[Overlay, ...] = ()


def plan_slide(
    frame: Frame,
    grade: Grade,
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    as_scanned: bool = False,
) -> Plan:
    """Plans one slide; every random choice comes from ``rng``.

    Args:
        as_scanned: turns the section by any angle and varies the glass around it.
    """
    tissue = draw_scanned_sections(frame, rng) if as_scanned else draw_sections(frame, anatomy, rng)
    regions = draw_regions(tissue, frame, anatomy, rng)
    classes = draw_classes(Bed(frame, grade, anatomy, tissue, rng), regions)
    tears = draw_tears(tissue, frame, anatomy, rng)
    tissue &= ~tears
    classes[tears] = Tissue.GLASS
    outline = draw_outline(regions, tissue, frame)
    shade, mottle = _staining(frame, rng)
    fold = draw_folds(tissue, frame, anatomy, rng)
    overlays = draw_overlays(tissue, frame, anatomy, rng)
    return Plan(frame, grade, classes, outline, shade, mottle, fold, overlays)


def uniform_plan(frame: Frame, grade: Grade, tissue: Tissue, rng: np.random.Generator) -> Plan:
    """A plan with a single tissue, to measure its appearance."""
    classes = np.full(frame.shape, tissue, np.uint8)
    nothing = np.zeros(frame.shape, np.uint8)
    return Plan(frame, grade, classes, nothing > 0, *_staining(frame, rng), nothing)


def _staining(frame: Frame, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A plan's ``shade`` and ``mottle``."""
    shade = 1 + np.float32(0.05) * smooth_noise(rng, frame.shape, cells=frame.cells(800))
    shade += np.float32(0.05) * smooth_noise(rng, frame.shape, cells=frame.cells(24))
    return shade, smooth_noise(rng, frame.shape, cells=frame.cells(16))
