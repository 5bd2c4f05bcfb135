"""Draws fat, nodules, nests and holes into the plan's classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from h2g.phantom.anatomy import LOOKALIKE, TUMOUR_LIKE, Anatomy, Grade, Tissue
from h2g.phantom.frame import Frame
from h2g.phantom.noise import share_threshold, smooth_noise
from h2g.phantom.regions import Regions
from h2g.phantom.shapes import Blob, Room, draw_blob, no_blobs


@dataclass(frozen=True)
class Bed:
    """Common arguments of all growth: the slide, its tissue and the random generator."""

    frame: Frame
    grade: Grade
    anatomy: Anatomy
    tissue: np.ndarray  # (rows, cols) bool
    rng: np.random.Generator

    @property
    def tissue_mm2(self) -> float:
        return float(self.tissue.sum()) * self.frame.cell_mm2

    def noise(self, um: float) -> np.ndarray:
        return smooth_noise(self.rng, self.frame.shape, cells=self.frame.cells(um))


def draw_classes(bed: Bed, regions: Regions) -> np.ndarray:
    """The plan's classes, (rows, cols) uint8 with values of ``Tissue``."""
    classes = np.where(bed.tissue, Tissue.STROMA, Tissue.GLASS).astype(np.uint8)
    _add_fat(classes, bed)
    _add_patches(classes, bed, Tissue.NECROSIS, bed.anatomy.necrosis_per_mm2, (130, 330))
    _add_patches(classes, bed, Tissue.LYMPHOID, bed.anatomy.aggregates_per_mm2, (40, 110))
    nests = _Nests.draw(bed)
    _add_nodules(classes, bed, regions, nests)
    # Holes would be as large as a satellite, so satellites have none.
    solid = regions.satellites > -bed.frame.cells(bed.anatomy.stray_um)
    for field, kinds in ((regions.lookalike, LOOKALIKE), (regions.tumour, TUMOUR_LIKE)):
        growth = _growth(bed, field)
        classes[(field > 0) & bed.tissue] = Tissue.REACTION
        nests.fill(classes, growth, kinds)
        _add_holes(classes, bed, growth & ~solid)
    return classes


def _add_fat(classes: np.ndarray, bed: Bed) -> None:
    field = bed.noise(bed.anatomy.fat_um) + np.float32(0.25) * bed.noise(150)
    fat = field > share_threshold(field[bed.tissue], bed.anatomy.fat_share)
    classes[fat & bed.tissue] = Tissue.FAT


def _add_patches(
    classes: np.ndarray, bed: Bed, kind: Tissue, per_mm2: float, radii_um: tuple[float, float]
) -> None:
    room, field = Room.of(bed.tissue), no_blobs(bed.frame.shape)
    for _ in range(max(1, round(per_mm2 * bed.tissue_mm2))):
        radius = bed.frame.cells(bed.rng.uniform(*radii_um))
        place = room.find(bed.rng, radius=radius, apart=0)
        if place is not None:
            blob = Blob(place, radius, rough=0.2, bays=bed.frame.cells(15))
            draw_blob(field, blob, bed.rng, margin=2)
    classes[(field > 0) & bed.tissue] = kind


@dataclass(frozen=True)
class _Nests:
    """Nests in stroma, some of them glands: the architecture of tumour, twins and look-alikes."""

    nests: np.ndarray
    glands: np.ndarray
    nest_share: float
    gland_share: float

    @classmethod
    def draw(cls, bed: Bed) -> _Nests:
        nests, glands = bed.noise(bed.anatomy.nest_um), bed.noise(260)
        return cls(nests, glands, bed.anatomy.nest_share, bed.grade.gland_share)

    def fill(self, classes: np.ndarray, where: np.ndarray, kinds: tuple[Tissue, Tissue]) -> None:
        """Draws solid growth and glands, the two ``kinds``, into a region."""
        classes[where] = Tissue.REACTION
        inside = where & (self.nests > share_threshold(self.nests[where], self.nest_share))
        glands = self.glands > share_threshold(self.glands[inside], self.gland_share)
        classes[inside] = kinds[0]
        classes[inside & glands] = kinds[1]


def _add_nodules(classes: np.ndarray, bed: Bed, regions: Regions, nests: _Nests) -> None:
    """Draws capsuled nodules: benign acini, and twins that differ from tumour only in capsule."""
    frame, anatomy = bed.frame, bed.anatomy
    apart = -frame.cells(100)
    room = Room.of(bed.tissue & (regions.tumour < apart) & (regions.lookalike < apart))
    capsule = frame.cells(anatomy.capsule_um)
    lobules, twins = no_blobs(frame.shape), no_blobs(frame.shape)
    for number in range(1, 1 + max(2, round(anatomy.nodules_per_mm2 * bed.tissue_mm2))):
        radius = frame.cells(bed.rng.uniform(*anatomy.nodule_radius_um))
        place = room.find(bed.rng, radius=radius + capsule, apart=frame.cells(60), tries=400)
        if place is not None:
            # Twins are spread evenly over the nodules: 2 of 5 at a share of 0.4.
            is_twin = number * anatomy.twin_share % 1 < anatomy.twin_share
            field = twins if is_twin else lobules
            draw_blob(field, Blob(place, radius, rough=0.06), bed.rng, margin=2 * capsule)
    both = np.maximum(lobules, twins)
    classes[(both > -capsule) & (both <= 0) & bed.tissue] = Tissue.CAPSULE
    classes[(lobules > 0) & bed.tissue] = Tissue.LOBULE
    nests.fill(classes, (twins > 0) & bed.tissue, TUMOUR_LIKE)


def _growth(bed: Bed, field: np.ndarray) -> np.ndarray:
    """Growth of a region, (rows, cols) bool; its edge strays to both sides of the outline.

    ``field`` is 0 on the outline.
    """
    stray = np.float32(bed.frame.cells(bed.anatomy.stray_um))
    return (field + stray * bed.noise(2 * bed.anatomy.stray_um) > 0) & bed.tissue


def _add_holes(classes: np.ndarray, bed: Bed, growth: np.ndarray) -> None:
    """Draws holes of stroma, fat and necrosis into a region."""
    field = bed.noise(bed.anatomy.hole_um / 2)
    holes = growth & (field > share_threshold(field[growth], bed.anatomy.hole_share))
    kind = bed.noise(bed.anatomy.hole_um)
    necrosis = share_threshold(kind[holes], bed.grade.necrosis_share)
    fat = share_threshold(kind[holes], bed.grade.necrosis_share + bed.anatomy.hole_fat_share)
    classes[holes] = Tissue.REACTION
    classes[holes & (kind > fat)] = Tissue.FAT
    classes[holes & (kind > necrosis)] = Tissue.NECROSIS
