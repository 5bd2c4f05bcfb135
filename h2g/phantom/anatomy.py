"""The composition of the generated slides: all strengths, sizes and colours of the generator.

The task needs both stages. Tumour and look-alike fields share their architecture and mean colour
and differ in their nuclei, so only high resolution separates them. Fat, stroma and necrosis inside
the outline belong to the tumour, and a capsuled nodule that is drawn exactly like tumour does not.
Only the surroundings show that.

Lengths are in um, areas in mm2. Optical densities are amounts of stain; 1.0 is a strong stain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Tissue(IntEnum):
    """Classes of the plan."""

    GLASS = 0
    STROMA = 1
    FAT = 2
    NECROSIS = 3
    LYMPHOID = 4  # small aggregates of lymphocytes
    CAPSULE = 5  # dense collagen around every benign nodule
    LOBULE = 6  # benign acini
    REACTION = 7  # stroma of tumour and look-alike regions: a little paler and bluer
    TUMOUR_SOLID = 8
    TUMOUR_GLANDS = 9
    LOOKALIKE_SOLID = 10  # the tumour's architecture and mean colour with benign nuclei
    LOOKALIKE_GLANDS = 11


TUMOUR_LIKE = (Tissue.TUMOUR_SOLID, Tissue.TUMOUR_GLANDS)
LOOKALIKE = (Tissue.LOOKALIKE_SOLID, Tissue.LOOKALIKE_GLANDS)


@dataclass(frozen=True)
class Nucleus:
    """One kind of nuclei: size, shape, stain, irregularity and distance.

    Attributes:
        diameter_um: mean diameter; ``spread`` is its standard deviation as a share.
        elongation: mean ratio of the axes.
        density: haematoxylin in the middle of the nucleus.
        chromatin: unevenness of the haematoxylin, 0 to 1.
        pitch_um: mean distance of neighbours in solid growth, and along a gland's ring.
    """

    diameter_um: float
    spread: float
    elongation: float
    density: float
    chromatin: float
    pitch_um: float
    nucleolus: bool = False


@dataclass(frozen=True)
class Gland:
    """Rings of nuclei around a lumen.

    Attributes:
        radius_um: mean outer radius; ``spread`` is its standard deviation as a share.
        lumen: share of the radius.
        pitch_um: mean distance of neighbours; ``jitter`` is its irregularity as a share.
    """

    radius_um: float
    spread: float
    lumen: float
    pitch_um: float
    jitter: float


@dataclass(frozen=True)
class Grade:
    """A histological grade: its nuclei, and the share of the growth that forms glands."""

    nucleus: Nucleus
    gland_share: float
    necrosis_share: float  # of the holes inside the tumour


GRADES: dict[int, Grade] = {
    1: Grade(Nucleus(8.8, 0.08, 1.25, 0.62, 0.25, 15.0), gland_share=0.9, necrosis_share=0.1),
    2: Grade(Nucleus(10.2, 0.14, 1.3, 0.62, 0.4, 13.8), gland_share=0.5, necrosis_share=0.25),
    3: Grade(
        Nucleus(11.6, 0.24, 1.35, 0.64, 0.55, 12.6, nucleolus=True),
        gland_share=0.06,
        necrosis_share=0.4,
    ),
}
BENIGN_NUCLEUS = Nucleus(6.0, 0.06, 1.12, 0.8, 0.1, 8.4)
ACINAR_NUCLEUS = Nucleus(6.6, 0.07, 1.2, 0.75, 0.1, 8.6)
LYMPHOCYTE = Nucleus(5.8, 0.07, 1.1, 0.95, 0.1, 8.0)
FIBROBLAST = Nucleus(6.0, 0.2, 4.0, 0.5, 0.1, 36.0)
ADIPOCYTE_NUCLEUS = Nucleus(5.0, 0.1, 2.5, 0.6, 0.1, 45.0)
DEBRIS_NUCLEUS = Nucleus(3.0, 0.35, 1.3, 0.6, 0.2, 15.0)

TUMOUR_GLAND = Gland(radius_um=40.0, spread=0.26, lumen=0.42, pitch_um=82.0, jitter=0.24)
ACINUS = Gland(radius_um=21.0, spread=0.12, lumen=0.22, pitch_um=46.0, jitter=0.2)


@dataclass(frozen=True)
class Ground:
    """Ground between the nuclei of a tissue: amounts of stain, and weights of textures.

    ``mottle`` is the unevenness of the stains over 16 um, as a share of them.
    """

    haematoxylin: float
    eosin: float
    fibres: float = 0.0
    grain: float = 0.3
    fat: float = 0.0
    mottle: float = 0.0


GROUNDS: dict[Tissue, Ground] = {
    Tissue.GLASS: Ground(0.0, 0.0, grain=0),
    Tissue.STROMA: Ground(0.03, 0.27, fibres=0.8),
    # Within the range of stroma across slides, so that a patch alone does not separate the two.
    Tissue.REACTION: Ground(0.045, 0.225, fibres=0.8),
    Tissue.FAT: Ground(0.0, 0.025, grain=0.1, fat=1.0),
    Tissue.NECROSIS: Ground(0.09, 0.36, grain=1.0),
    Tissue.LYMPHOID: Ground(0.12, 0.20),
    Tissue.CAPSULE: Ground(0.03, 0.50, fibres=0.6),
    Tissue.LOBULE: Ground(0.05, 0.20, fibres=0.3),
    Tissue.TUMOUR_SOLID: Ground(0.13, 0.27, grain=0.6),
    Tissue.TUMOUR_GLANDS: Ground(0.05, 0.25, fibres=0.4),
    # Starting values; the look-alikes are then matched to the tumour's colour.
    Tissue.LOOKALIKE_SOLID: Ground(0.13, 0.27, grain=0.6),
    Tissue.LOOKALIKE_GLANDS: Ground(0.05, 0.25, fibres=0.4),
}
# Stain that a gland's epithelium adds to its ground: haematoxylin, eosin.
EPITHELIUM = (0.11, 0.05)


@dataclass(frozen=True)
class Stain:
    """A laboratory and a scanner: colour vectors of the stains, blur and noise.

    ``glass`` is the colour of the empty slide, chosen so that JPEG keeps it.
    """

    name: str
    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    glass: tuple[int, int, int]
    blur_um: float
    noise: float  # standard deviation in 8-bit units


STAINS: tuple[Stain, ...] = (
    Stain("violet", (0.62, 0.72, 0.31), (0.16, 0.86, 0.48), (243, 243, 243), 0.45, 2.0),
    Stain("blue", (0.70, 0.66, 0.27), (0.10, 0.84, 0.53), (240, 241, 243), 0.60, 2.8),
    Stain("rose", (0.57, 0.74, 0.36), (0.22, 0.85, 0.48), (246, 245, 243), 0.35, 1.6),
)


@dataclass(frozen=True)
class Anatomy:
    """Parameters of the generator. Shares are of area unless stated otherwise."""

    tissue_share: float = 0.56  # of the slide
    tumour_share: float = 0.28  # of the tissue
    lookalike_share: float = 0.22  # of the tissue
    region_mm2: float = 5.0  # mean area of a tumour or look-alike region
    satellites_per_mm2: float = 0.10  # small annotated nodules without capsule, per tissue area
    nodules_per_mm2: float = 0.28  # benign capsuled nodules, per tissue area
    twin_share: float = 0.4  # share of the nodules that are drawn exactly like tumour
    nodule_radius_um: tuple[float, float] = (190.0, 400.0)
    capsule_um: float = 80.0
    hole_share: float = 0.18  # of a region: fat, stroma and necrosis
    hole_um: float = 900.0
    hole_fat_share: float = 0.4  # of the holes; the grade sets the share of necrosis
    nest_share: float = 0.88  # of a region without its holes
    nest_um: float = 120.0
    stray_um: float = 45.0  # distance of the growth's edge from the pathologist's outline
    bays_um: float = 60.0  # depth of the outline's bays
    fat_share: float = 0.16  # of the tissue outside
    fat_um: float = 900.0
    necrosis_per_mm2: float = 0.16  # patches of necrosis outside, per tissue area
    aggregates_per_mm2: float = 0.5  # small lymphoid aggregates, per tissue area
    tears_per_mm2: float = 0.06  # holes in the section, which the outline excludes
    stain_gain: float = 0.10  # largest deviation of the stains' gains from 1, per slide
    dust_per_mm2: float = 0.6  # specks and fibres on the glass
    pen_probability: float = 0.4  # per slide
    folds: tuple[int, int] = (1, 3)  # smallest and largest number per slide
    grades: dict[int, Grade] = field(default_factory=lambda: dict(GRADES))
    stains: tuple[Stain, ...] = STAINS


LARGE, SPARSE = "large", "sparse"
# Anatomies by the size of their lesions. Sparse ones cover about 1 % of the tissue and touch 3 % to
# 4 % of the tiles of 256 um; look-alikes and benign nodules are as small, and more numerous.
LESIONS: dict[str, Anatomy] = {
    LARGE: Anatomy(),
    SPARSE: Anatomy(
        tumour_share=0.0,
        satellites_per_mm2=0.085,
        lookalike_share=0.02,
        region_mm2=0.3,
        nodules_per_mm2=0.15,
        nodule_radius_um=(120.0, 260.0),
    ),
}
