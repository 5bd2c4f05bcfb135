"""What the slides are made of: outlines, classes, grades, look-alikes."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from h2g.phantom.anatomy import (
    GRADES,
    LESIONS,
    LOOKALIKE,
    SPARSE,
    STAINS,
    TUMOUR_LIKE,
    Anatomy,
    Tissue,
)
from h2g.phantom.cells import draw_stamps, scatter_cells
from h2g.phantom.frame import Frame
from h2g.phantom.matching import matched_grounds
from h2g.phantom.optics import Scan
from h2g.phantom.outlines import annotation_document, outline_polygons
from h2g.phantom.plan import Plan, plan_slide, uniform_plan
from h2g.phantom.render import Renderer
from h2g.phantom.stamps import nucleus_stamps

FIELD_PX = (8192, 8192)


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    """Slides of 8 mm of all three grades, planned but not rendered."""
    frame = Frame.of(FIELD_PX, 1.0)
    return [
        plan_slide(frame, GRADES[grade], Anatomy(), np.random.default_rng([5, grade]))
        for grade in (1, 2, 3)
    ]


def share(plan: Plan, kinds: tuple[Tissue, ...], where: np.ndarray) -> float:
    return float(np.isin(plan.classes[where], kinds).mean())


def shares_of_patches(mask: np.ndarray) -> np.ndarray:
    """The mean of a plan's raster in patches of 256 um: 32 cells of 8 um."""
    rows, cols = (size // 32 for size in mask.shape)
    return mask[: rows * 32, : cols * 32].reshape(rows, 32, cols, 32).mean((1, 3))


def test_outline_holds_what_a_pathologist_includes(plans: list[Plan]) -> None:
    for plan in plans:
        tissue = plan.classes != Tissue.GLASS
        assert 0.2 < plan.outline.sum() / tissue.sum() < 0.4
        # Specks of glass within are not worth a line.
        assert (plan.outline & ~tissue).sum() < 0.005 * plan.outline.sum()
        assert 0.55 < share(plan, TUMOUR_LIKE, plan.outline) < 0.85
        for kind in (Tissue.REACTION, Tissue.FAT):
            assert share(plan, (kind,), plan.outline) > 0.02
    # Necrosis comes with the grade, and is outside tumours too.
    necrosis = [share(plan, (Tissue.NECROSIS,), plan.outline) for plan in plans]
    assert necrosis == sorted(necrosis)
    assert all(share(plan, (Tissue.NECROSIS,), ~plan.outline) > 0 for plan in plans)


def test_twins_lookalikes_and_lobules_lie_outside_the_outline(plans: list[Plan]) -> None:
    for plan in plans:
        outside = (plan.classes != Tissue.GLASS) & ~plan.outline
        assert 0.01 < share(plan, TUMOUR_LIKE, outside) < 0.12
        assert 0.1 < share(plan, LOOKALIKE, outside) < 0.4
        assert 0.01 < share(plan, (Tissue.LOBULE,), outside) < 0.12
        assert share(plan, (Tissue.CAPSULE,), outside) > 0.01


def test_patches_are_ambiguous_as_calibrated(plans: list[Plan]) -> None:
    # An oracle that calls a patch tumour when over 30 % of it looks like tumour; patches are
    # labelled as h2g prepare does: over 25 % is tumour, nothing is background, the rest left out.
    right = []
    for plan in plans:
        inside = shares_of_patches(plan.outline)
        looks = shares_of_patches(np.isin(plan.classes, TUMOUR_LIKE))
        tissue = shares_of_patches(~np.isin(plan.classes, (Tissue.GLASS, Tissue.FAT))) > 0.25
        kept = tissue & ((inside == 0) | (inside > 0.25))
        right.append(((looks > 0.3) == (inside > 0.25))[kept])
    assert 0.88 < np.concatenate(right).mean() < 0.96


def test_slides_have_all_flaws(plans: list[Plan]) -> None:
    assert all((plan.fold > 128).any() for plan in plans)
    assert all((plan.overlays[0].amount > 0).any() for plan in plans)
    always = Anatomy(pen_probability=1.0)
    plan = plan_slide(Frame.of((2048, 2048), 4.0), GRADES[2], always, np.random.default_rng(0))
    assert (plan.overlays[1].amount > 200).any()


def test_polygons_are_the_outline(plans: list[Plan]) -> None:
    for plan in plans:
        polygons = outline_polygons(plan.outline, plan.frame)
        assert polygons.is_valid
        assert len(polygons.geoms) >= 2
        # Cell middles in level-0 pixels; a cell is 8 px at 1.0 um/px.
        y, x = (np.indices(plan.outline.shape) + 0.5) * 8
        drawn = shapely.contains_xy(polygons, x, y)
        both = (drawn & plan.outline).sum()
        assert both / (drawn | plan.outline).sum() > 0.97


def test_tears_are_holes_of_polygons(plans: list[Plan]) -> None:
    holes = [
        hole
        for plan in plans
        for polygon in outline_polygons(plan.outline, plan.frame).geoms
        for hole in polygon.interiors
    ]
    assert holes


def test_annotation_documents_merge_to_one_multipolygon(plans: list[Plan]) -> None:
    polygons = outline_polygons(plans[0].outline, plans[0].frame)
    apart, merged = (
        json.loads(annotation_document(polygons, name="a", merged=value))["features"]
        for value in (False, True)
    )
    assert {feature["geometry"]["type"] for feature in apart} == {"Polygon"}
    assert [feature["geometry"]["type"] for feature in merged] == ["MultiPolygon"]
    area = shape(merged[0]["geometry"]).area
    assert area == pytest.approx(sum(shape(feature["geometry"]).area for feature in apart))
    assert area == pytest.approx(polygons.area, rel=1e-4)


@dataclass(frozen=True)
class Look:
    """A field of 600 um of one tissue."""

    rgb: np.ndarray
    nuclei_per_mm2: float

    @property
    def mean(self) -> np.ndarray:
        return self.rgb.mean((0, 1))

    def contrast(self, px: int) -> float:
        side = len(self.rgb) // px
        green = self.rgb[: side * px, : side * px, 1].reshape(side, px, side, px)
        return float(green.mean((1, 3)).std())


@pytest.fixture(scope="module")
def looks() -> dict[tuple[int, Tissue], Look]:
    """Tumour and look-alike of every grade at 1.0 um/px, each grade on another stain."""
    found = {}
    for grade, stain in zip((1, 2, 3), STAINS, strict=True):
        book = draw_stamps(GRADES[grade], mpp=1.0, rng=np.random.default_rng(grade))
        scan = Scan(stain, (1.06, 0.95))
        grounds = matched_grounds(GRADES[grade], book, scan)
        for tissue in (*TUMOUR_LIKE, *LOOKALIKE):
            frame = Frame.of((600, 600), 1.0)
            plan = uniform_plan(frame, GRADES[grade], tissue, np.random.default_rng(9))
            cells = scatter_cells(plan, book, np.random.default_rng(10))
            rgb = np.concatenate(list(Renderer(plan, cells, scan, grounds).rows()))
            count = sum(len(kind.variant) for kind in (*cells.loose, *cells.lining))
            found[grade, tissue] = Look(rgb, count / 0.36)
    return found


@pytest.mark.parametrize("grade", [1, 2, 3])
@pytest.mark.parametrize("pair", list(zip(TUMOUR_LIKE, LOOKALIKE, strict=True)))
def test_lookalikes_differ_only_in_their_nuclei(
    looks: dict[tuple[int, Tissue], Look], grade: int, pair: tuple[Tissue, Tissue]
) -> None:
    tumour, lookalike = (looks[grade, tissue] for tissue in pair)
    assert np.abs(tumour.mean - lookalike.mean).max() < 4  # grey levels
    assert lookalike.contrast(16) == pytest.approx(tumour.contrast(16), rel=0.2)
    assert lookalike.nuclei_per_mm2 > 1.3 * tumour.nuclei_per_mm2


def test_grades_differ_in_density_size_and_glands(
    looks: dict[tuple[int, Tissue], Look],
) -> None:
    density = [looks[grade, Tissue.TUMOUR_SOLID].nuclei_per_mm2 for grade in (1, 2, 3)]
    assert density[0] * 1.1 < density[1]
    assert density[1] * 1.1 < density[2]
    diameters = [GRADES[grade].nucleus.diameter_um for grade in (1, 2, 3)]
    assert diameters == sorted(diameters)
    glands = [GRADES[grade].gland_share for grade in (3, 2, 1)]
    assert glands == sorted(glands)


def test_sizes_are_physical() -> None:
    # The area of the same nuclei in um2, at a resolution and at four times that.
    areas = []
    for mpp in (1.0, 0.25):
        stamps = nucleus_stamps(GRADES[3].nucleus, mpp=mpp, rng=np.random.default_rng(0))
        areas.append((stamps.images > 60).mean() * (stamps.side * mpp) ** 2)
    assert areas[0] == pytest.approx(areas[1], rel=0.15)
    # pi / 4 * 11.6 um squared is 106 um2.
    assert areas[1] == pytest.approx(106, rel=0.25)


def test_cells_that_are_no_whole_pixels() -> None:
    # 8 um are 32.5 px at 0.2465 um/px, so a cell is 32 px: 7.9 um, and everything still fits.
    frame = Frame.of((2048, 1024), 0.2465)
    assert (frame.cell_px, frame.shape) == (32, (32, 64))
    plan = plan_slide(frame, GRADES[1], Anatomy(), np.random.default_rng(0))
    book = draw_stamps(GRADES[1], mpp=0.2465, rng=np.random.default_rng(0))
    cells = scatter_cells(plan, book, np.random.default_rng(0))
    bands = list(Renderer(plan, cells, Scan(STAINS[0], (1.0, 1.0))).rows())
    assert sum(len(band) for band in bands) == 1024
    assert {band.shape[1:] for band in bands} == {(2048, 3)}


def test_blocks_have_no_seams() -> None:
    # Rows on both sides of a block's edge are as alike as rows elsewhere.
    plan = uniform_plan(
        Frame.of((1024, 1024), 1.0), GRADES[3], Tissue.TUMOUR_SOLID, np.random.default_rng(0)
    )
    book = draw_stamps(GRADES[3], mpp=1.0, rng=np.random.default_rng(0))
    cells = scatter_cells(plan, book, np.random.default_rng(0))
    rgb = np.concatenate(list(Renderer(plan, cells, Scan(STAINS[0], (1.0, 1.0))).rows()))
    for image in (rgb, rgb.swapaxes(0, 1)):
        steps = np.abs(np.diff(image.astype(int), axis=0)).mean((1, 2))
        assert steps[511] < steps.mean() + 4 * steps.std()


def test_sparse_lesions() -> None:
    """About 1 % of the tissue and 3 to 4 % of its patches, over six slides."""
    frame = Frame.of(FIELD_PX, 1.0)
    tissue = tumour = patches = touched = 0.0
    for number in range(6):
        rng = np.random.default_rng([6, number])
        plan = plan_slide(frame, GRADES[1 + number % 3], LESIONS[SPARSE], rng)
        in_tissue = plan.classes != Tissue.GLASS
        assert plan.outline.any()
        assert not (plan.outline & ~in_tissue).any()
        tissue += in_tissue.sum()
        tumour += plan.outline.sum()
        of_tissue = shares_of_patches(in_tissue) > 0.25
        patches += of_tissue.sum()
        touched += (of_tissue & (shares_of_patches(plan.outline) > 0)).sum()
    assert 0.005 < tumour / tissue < 0.015
    assert 0.025 < touched / patches < 0.05
