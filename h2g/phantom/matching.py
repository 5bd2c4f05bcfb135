"""Matches the ground of look-alikes, so that they look like tumour at low resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from h2g.phantom.anatomy import GROUNDS, LOOKALIKE, TUMOUR_LIKE, Grade, Ground, Tissue
from h2g.phantom.cells import StampBook, scatter_cells
from h2g.phantom.frame import Frame
from h2g.phantom.optics import Scan
from h2g.phantom.plan import uniform_plan
from h2g.phantom.render import Renderer

FIELD_UM = 640.0  # large enough that chance changes its mean by less than one grey level
GRAIN_UM = 16.0  # finest scale at which a low-resolution image still shows the texture
WORTH_MATCHING = 0.1  # smaller shares of missing variance are chance, e.g. positions of lumens
STEP = 0.03  # step of the stain for the derivative


def matched_grounds(grade: Grade, book: StampBook, scan: Scan) -> dict[Tissue, Ground]:
    """``GROUNDS`` with stain amounts that match look-alikes to the grade's tumour.

    A field of look-alikes then has the tumour's mean colour under this stain and scanner, and its
    contrast over GRAIN_UM.
    """
    grounds = dict(GROUNDS)
    for lookalike, tumour in zip(LOOKALIKE, TUMOUR_LIKE, strict=True):
        wanted = _field(tumour, grade, book, scan)(GROUNDS[tumour])
        look_at = _field(lookalike, grade, book, scan)
        grounds[lookalike] = _matched(look_at, wanted, start=GROUNDS[lookalike])
    return grounds


@dataclass(frozen=True)
class _Look:
    """Appearance of a field of tissue at low resolution."""

    mean: np.ndarray  # (3,) RGB
    variance: float  # of green, over GRAIN_UM


def _field(tissue: Tissue, grade: Grade, book: StampBook, scan: Scan) -> Callable[[Ground], _Look]:
    """The appearance of a field of one tissue, as a function of its ground."""
    side = round(FIELD_UM / book.mpp)
    # All fields have the same positions and differ only in tissue.
    plan = uniform_plan(Frame.of((side, side), book.mpp), grade, tissue, np.random.default_rng(1))
    cells = scatter_cells(plan, book, np.random.default_rng(2))

    def look(ground: Ground) -> _Look:
        grounds = {**GROUNDS, tissue: ground}
        rgb = np.concatenate(list(Renderer(plan, cells, scan, grounds).rows()))
        count = round(FIELD_UM / GRAIN_UM)
        grains = cv2.resize(rgb, (count, count), interpolation=cv2.INTER_AREA)
        return _Look(np.array(cv2.mean(rgb)[:3]), float(grains[..., 1].var()))

    return look


def _matched(look_at: Callable[[Ground], _Look], wanted: _Look, *, start: Ground) -> Ground:
    """The ground for which a field has the look ``wanted``.

    Gauss-Newton, because there are two amounts of stain but three channels.
    """
    ground, look = start, look_at(start)
    derivative = np.stack(
        [
            (look_at(_moved(start, step)).mean - look.mean) / STEP
            for step in (np.array([STEP, 0]), np.array([0, STEP]))
        ],
        axis=1,
    )
    for _ in range(2):
        ground = _moved(ground, np.linalg.lstsq(derivative, wanted.mean - look.mean)[0])
        look = look_at(ground)
    ground = _mottled(look_at, wanted, ground, look)
    difference = wanted.mean - look_at(ground).mean
    return _moved(ground, np.linalg.lstsq(derivative, difference)[0])


def _mottled(
    look_at: Callable[[Ground], _Look], wanted: _Look, ground: Ground, look: _Look
) -> Ground:
    """Adds the missing contrast; variance grows with the square of the mottle."""
    if wanted.variance < (1 + WORTH_MATCHING) * look.variance:
        return ground
    trial = 0.15
    gain = look_at(dataclasses.replace(ground, mottle=trial)).variance - look.variance
    missing = wanted.variance - look.variance
    mottle = trial * float(np.sqrt(missing / max(gain, 1e-6)))
    return dataclasses.replace(ground, mottle=min(mottle, 0.3))


def _moved(ground: Ground, step: np.ndarray) -> Ground:
    return dataclasses.replace(
        ground,
        haematoxylin=max(0.0, ground.haematoxylin + float(step[0])),
        eosin=max(0.0, ground.eosin + float(step[1])),
    )
