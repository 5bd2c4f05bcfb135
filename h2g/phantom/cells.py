"""Positions of the nuclei and glands of a slide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from h2g.phantom.anatomy import (
    ACINAR_NUCLEUS,
    ACINUS,
    ADIPOCYTE_NUCLEUS,
    BENIGN_NUCLEUS,
    DEBRIS_NUCLEUS,
    FIBROBLAST,
    LYMPHOCYTE,
    TUMOUR_GLAND,
    Gland,
    Grade,
    Nucleus,
    Tissue,
)
from h2g.phantom.plan import Plan
from h2g.phantom.stamps import STAMPS, GlandShapes, Stamps, nucleus_stamps

CANDIDATES = 2_000_000  # positions per batch, so that memory does not grow with the slide


@dataclass(frozen=True)
class Kind:
    """Nuclei of one kind, the tissues that contain them, and their mean distance."""

    stamps: Stamps
    tissues: tuple[Tissue, ...]
    pitch_um: float


@dataclass(frozen=True)
class Lining:
    """The nuclei of the glands of one tissue."""

    tissue: Tissue
    nucleus: Nucleus
    stamps: Stamps


@dataclass(frozen=True)
class GlandKind:
    """Glands of one kind, and their lining in each tissue that has them."""

    shapes: GlandShapes
    stamps: Stamps
    linings: tuple[Lining, ...]


@dataclass(frozen=True)
class StampBook:
    """All stamps for slides of one grade at one resolution."""

    mpp: float
    nuclei: tuple[Kind, ...]
    glands: tuple[GlandKind, ...]


def draw_stamps(grade: Grade, *, mpp: float, rng: np.random.Generator) -> StampBook:
    def kind(nucleus: Nucleus, *tissues: Tissue, pitch_um: float | None = None) -> Kind:
        stamps = nucleus_stamps(nucleus, mpp=mpp, rng=rng)
        return Kind(stamps, tissues, pitch_um or nucleus.pitch_um)

    def glands(gland: Gland, linings: dict[Tissue, Nucleus]) -> GlandKind:
        shapes = GlandShapes.draw(gland, rng)
        nuclei = (
            Lining(tissue, nucleus, nucleus_stamps(nucleus, mpp=mpp, rng=rng))
            for tissue, nucleus in linings.items()
        )
        return GlandKind(shapes, shapes.stamps(mpp), tuple(nuclei))

    stroma = (Tissue.STROMA, Tissue.REACTION)
    between_glands = (Tissue.CAPSULE, Tissue.TUMOUR_GLANDS, Tissue.LOOKALIKE_GLANDS)
    tumour = {Tissue.TUMOUR_GLANDS: grade.nucleus, Tissue.LOOKALIKE_GLANDS: BENIGN_NUCLEUS}
    return StampBook(
        mpp,
        nuclei=(
            kind(FIBROBLAST, *stroma, *between_glands),
            kind(LYMPHOCYTE, *stroma, pitch_um=75.0),
            kind(LYMPHOCYTE, Tissue.LYMPHOID),
            kind(ADIPOCYTE_NUCLEUS, Tissue.FAT),
            kind(DEBRIS_NUCLEUS, Tissue.NECROSIS),
            kind(grade.nucleus, Tissue.TUMOUR_SOLID),
            kind(BENIGN_NUCLEUS, Tissue.LOOKALIKE_SOLID),
        ),
        glands=(
            glands(TUMOUR_GLAND, tumour),
            glands(ACINUS, {Tissue.LOBULE: ACINAR_NUCLEUS}),
        ),
    )


@dataclass(frozen=True)
class Marks:
    """Objects of one kind on a slide, from top to bottom.

    Attributes:
        xy_level0: (n, 2) int32, centres.
        variant: (n,) uint8, numbers of the stamps.
    """

    stamps: Stamps
    xy_level0: np.ndarray
    variant: np.ndarray

    def between(self, top: int, bottom: int) -> Marks:
        """The objects whose stamps may reach rows [top, bottom)."""
        rows = (top - self.stamps.side, bottom + self.stamps.side)
        first, last = np.searchsorted(self.xy_level0[:, 1], rows)
        return Marks(self.stamps, self.xy_level0[first:last], self.variant[first:last])


@dataclass(frozen=True)
class Cells:
    """All stamped objects of a slide: glands give architecture, nuclei haematoxylin.

    Attributes:
        loose: nuclei between the glands; their parts inside glands are not drawn.
        lining: nuclei of the glands.
    """

    glands: tuple[Marks, ...]
    loose: tuple[Marks, ...]
    lining: tuple[Marks, ...]

    def between(self, top: int, bottom: int) -> Cells:
        glands, loose, lining = (
            tuple(kind.between(top, bottom) for kind in marks)
            for marks in (self.glands, self.loose, self.lining)
        )
        return Cells(glands, loose, lining)


def scatter_cells(plan: Plan, book: StampBook, rng: np.random.Generator) -> Cells:
    """Positions of all nuclei and glands of a slide."""
    # Each kind has its own generator, so that no kind affects the positions of another.
    seeds = iter(rng.integers(2**63, size=len(book.nuclei) + len(book.glands)).tolist())
    loose, glands, lining = [], [], []
    for kind in book.nuclei:
        kind_rng = np.random.default_rng(next(seeds))
        places = _scatter(plan, kind.tissues, kind_rng, pitch_um=kind.pitch_um, jitter=0.36)
        loose.append(_marks(kind.stamps, places, kind_rng))
    for kind_of_gland in book.glands:
        gland, seed = kind_of_gland.shapes.gland, next(seeds)
        for inner in kind_of_gland.linings:
            # The same glands in every tissue, so that tissues differ only in their nuclei.
            gland_rng = np.random.default_rng(seed)
            places = _scatter(
                plan, (inner.tissue,), gland_rng, pitch_um=gland.pitch_um, jitter=gland.jitter
            )
            glands.append(_marks(kind_of_gland.stamps, places, gland_rng))
            ring = _ring(kind_of_gland.shapes, inner.nucleus, glands[-1], book.mpp, gland_rng)
            lining.append(_marks(inner.stamps, ring, gland_rng))
    return Cells(tuple(glands), tuple(loose), tuple(lining))


def _scatter(
    plan: Plan,
    tissues: tuple[Tissue, ...],
    rng: np.random.Generator,
    *,
    pitch_um: float,
    jitter: float,
) -> np.ndarray:
    """Positions on a jittered grid where the plan has a tissue, (n, 2) float32 level-0 pixels."""
    frame = plan.frame
    wanted = np.zeros(len(Tissue), bool)
    wanted[list(tissues)] = True
    mask = wanted[plan.classes]
    pitch = np.float32(pitch_um / frame.mpp)
    width, height = frame.size_px
    cols, rows = int(width / pitch) + 1, int(height / pitch) + 1
    places = []
    chunk = max(1, CANDIDATES // cols)
    for first in range(0, rows, chunk):
        row = np.arange(first, min(first + chunk, rows), dtype=np.float32)[:, None]
        col = np.arange(cols, dtype=np.float32)[None] + row % 2 / 2
        shift = rng.uniform(0.5 - jitter, 0.5 + jitter, (2, *col.shape)).astype(np.float32)
        x, y = ((col + shift[0]) * pitch).ravel(), ((row + shift[1]) * pitch).ravel()
        inside = (x < width) & (y < height)
        x, y = x[inside], y[inside]
        keep = mask[(y / frame.cell_px).astype(np.int32), (x / frame.cell_px).astype(np.int32)]
        places.append(np.stack([x[keep], y[keep]], axis=1))
    return np.concatenate(places)


def _ring(
    shapes: GlandShapes, nucleus: Nucleus, glands: Marks, mpp: float, rng: np.random.Generator
) -> np.ndarray:
    """Positions of the nuclei in the epithelium of ``glands``, (n, 2) float32 level-0 pixels.

    The nuclei form as many rows as the epithelium's thickness allows.
    """
    lumen, diameter = shapes.gland.lumen, nucleus.diameter_um
    rows = max(1, round(shapes.gland.radius_um * (1 - lumen) / (1.25 * diameter + 2)))
    places = [np.empty((0, 2), np.float32)]
    for row in range(rows if len(glands.variant) else 0):
        share = lumen + (1 - lumen) * (row + 0.5) / rows
        around = 2 * np.pi * share * shapes.radius_um[glands.variant]
        count = np.maximum(4, np.round(around / (1.12 * diameter))).astype(int)[:, None]
        slots = np.arange(count.max())[None]
        angle = 2 * np.pi * (slots + rng.uniform(-0.3, 0.3, (len(count), slots.size))) / count
        reach = share * shapes.outline_um(glands.variant[:, None], angle)
        reach += rng.normal(0, 0.12 * diameter, angle.shape)
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * (reach / mpp)[..., None]
        places.append((glands.xy_level0[:, None] + ring)[slots < count].astype(np.float32))
    return np.concatenate(places)


def _marks(stamps: Stamps, places: np.ndarray, rng: np.random.Generator) -> Marks:
    xy = places.astype(np.int32)
    xy = xy[np.argsort(xy[:, 1], kind="stable")]
    return Marks(stamps, xy, rng.integers(STAMPS, size=len(xy), dtype=np.uint8))
