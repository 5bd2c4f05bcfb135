"""Masks of patches: the annotation at the patch's place and resolution, pixel by pixel."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from h2g.annotations.raster import rasterise
from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.data import masks as masks_module
from h2g.data.dataset import patch_dataset
from h2g.data.masks import Masks
from h2g.data.patch_source import BatchSettings, PatchSource
from h2g.data.sampler import SlidePatches
from h2g.errors import TrainingError
from h2g.folders.cohort import CohortSlide
from h2g.recipes.annotation import AnnotationSettings
from h2g.recipes.patch import PatchAugmentation, PatchStage
from h2g.recipes.preprocessing import PatchSettings, Preprocessing
from h2g.recipes.recipe import Recipe
from h2g.slides.reading import open_slide, plan_patches
from h2g.slides.tiff_files import write_pyramid

NAMES = ("background", "tumour", "stroma")
PATHOLOGISTS_NAMES = {"tumour": "Tumor", "stroma": "Stroma"}
FIELD = (650, 430)
STROMA_RGB, TUMOUR_RGB, GLASS_RGB = (225, 160, 200), (120, 60, 150), (255, 255, 255)


@dataclass(frozen=True)
class Annotated:
    """A slide at 1 um/px, and what is annotated on it."""

    row: CohortSlide
    regions: AnnotatedRegions


def star(x: float, y: float, radius: float) -> shapely.Polygon:
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False) + 0.1
    radii = radius * np.where(np.arange(30) % 2, 0.7, 1.0)
    return shapely.Polygon(np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], 1))


def write_annotated(folder: Path, name: str, *, seed: int = 0) -> Annotated:
    """Stars of tumour and stroma, stroma over tumour, in their colours; the annotation too."""
    rng = np.random.default_rng(seed)
    shapes = [
        (class_name, star(*rng.uniform((60, 60), (590, 370)), rng.uniform(30, 110)))
        for class_name in ("tumour", "stroma")
        for _ in range(4)
    ]
    field = shapely.box(0, 0, *FIELD)
    found = tuple(Region(shapely.intersection(shape, field), kind) for kind, shape in shapes)
    regions = AnnotatedRegions(found, folder / f"{name}.geojson")
    labels = rasterise(regions, NAMES, field_level0=FIELD, size_px=FIELD)
    colours = np.array([GLASS_RGB, TUMOUR_RGB, STROMA_RGB], np.uint8)
    write_pyramid(folder / f"{name}.tiff", colours[labels], mpp=1.0, tile_px=256)
    features = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(each.geometry),
            "properties": {
                "objectType": "annotation",
                "classification": {"name": PATHOLOGISTS_NAMES[each.class_name]},
            },
        }
        for each in regions.regions
    ]
    document = {"type": "FeatureCollection", "features": features}
    regions.source.write_text(json.dumps(document))
    return Annotated(CohortSlide(name, folder / f"{name}.tiff", regions.source, "train"), regions)


def recipe(*, mpp: float = 2.0, margin_px: int = 0) -> Recipe:
    patch = PatchSettings(mpp=mpp, size_px=32, margin_px=margin_px)
    return Recipe(
        name="masks",
        description="Masks of tiles.",
        preprocessing=Preprocessing(patch=patch),
        annotation=AnnotationSettings(classes={"tumour": ("tumor",), "stroma": ("stroma",)}),
        patch=PatchStage(model="tile_unet", answer="mask"),
    )


def patches_of(row: CohortSlide, of: Recipe, xy_level0: np.ndarray | None = None) -> SlidePatches:
    """
    Args:
        xy_level0: where patches start; None takes all cells of the grid.
    """
    with open_slide(row.slide) as slide:
        plan = plan_patches(slide.info, of.preprocessing.patch)
    if xy_level0 is None:
        cells = [(r, c) for r in range(plan.rows) for c in range(plan.cols)]
        xy_level0 = np.array([plan.xy_level0(*cell) for cell in cells])
    labels = np.zeros(len(xy_level0), np.int8)
    return SlidePatches(
        name=row.name,
        path=row.slide,
        mpp=None,
        grade="1",
        plan=plan,
        xy_level0=xy_level0,
        labels=labels,
    )


def expected_mask(
    regions: AnnotatedRegions, patches: SlidePatches, number: int, *, offset: int = 0
) -> np.ndarray:
    """By shapely: the class of the region that each pixel's centre lies in."""
    plan = patches.plan
    x, y = (
        start + (np.arange(plan.size_px) + 0.5) * plan.pixel_level0 - offset
        for start in patches.xy_level0[number]
    )
    x, y = np.meshgrid(x, y)
    mask = np.zeros(x.shape, np.uint8)
    for label, name in enumerate(NAMES[1:], start=1):
        for region in regions.of_class(name):
            mask[shapely.contains_xy(region.geometry, x, y)] = label
    return mask


@pytest.mark.parametrize("mpp", [1.0, 2.0, 1.37])
@pytest.mark.parametrize("margin_px", [0, 4])
def test_a_mask_is_the_annotation_at_its_place(tmp_path: Path, mpp: float, margin_px: int) -> None:
    one = write_annotated(tmp_path, "one")
    of = recipe(mpp=mpp, margin_px=margin_px)
    rng = np.random.default_rng(1)
    off_the_grid = rng.integers(-40, 600, (25, 2))
    for xy_level0 in (None, off_the_grid):
        patches = patches_of(one.row, of, xy_level0)
        masks = Masks({one.row.name: one.row}, of)
        seen = set()
        for number in range(len(patches.xy_level0)):
            found = masks.draw(patches, number)
            assert found.shape == (32, 32)
            np.testing.assert_array_equal(found, expected_mask(one.regions, patches, number))
            seen |= {*found.ravel().tolist()}
        assert seen == {0, 1, 2}


def test_a_mask_lies_over_its_pixels(tmp_path: Path) -> None:
    """The patch has the class's colour where the mask has the class, margins included."""
    one, of = write_annotated(tmp_path, "one"), recipe(mpp=1.0, margin_px=4)
    patches = patches_of(one.row, of)
    masks = Masks({one.row.name: one.row}, of)
    colours = np.array([GLASS_RGB, TUMOUR_RGB, STROMA_RGB], int)
    with open_slide(one.row.slide) as slide:
        for number, (x, y) in enumerate(patches.xy_level0.tolist()):
            pixels = patches.plan.read(slide, (x, y)).astype(int)
            distance = np.abs(pixels - colours[masks.draw(patches, number)]).sum(axis=-1)
            # JPEG blurs the borders of regions.
            assert (distance < 60).mean() > 0.9


def test_annotations_that_count_from_the_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QuPath counts from the corner of the scanned part, here (40, 40)."""
    one, of = write_annotated(tmp_path, "one"), recipe()
    patches = patches_of(one.row, of)
    plain = masks_module.describe_slide

    def bounded(*arguments, **more):
        info = plain(*arguments, **more)
        return replace(info, bounds_level0=(40, 40, FIELD[0] - 40, FIELD[1] - 40))

    monkeypatch.setattr(masks_module, "describe_slide", bounded)
    masks = Masks({one.row.name: one.row}, of)
    inside = shapely.box(-40, -40, FIELD[0] - 40, FIELD[1] - 40)  # what leaves the field is cut off
    regions = AnnotatedRegions(
        tuple(
            Region(shapely.intersection(each.geometry, inside), each.class_name)
            for each in one.regions.regions
        ),
        one.regions.source,
    )
    for number in range(len(patches.xy_level0)):
        wanted = expected_mask(regions, patches, number, offset=40)
        np.testing.assert_array_equal(masks.draw(patches, number), wanted)


# -- batches with masks


SETTINGS = BatchSettings(batch_size=4, class_count=3, seed=3, workers=1)


def source_of(slides: list[Annotated], of: Recipe) -> PatchSource:
    patches = [patches_of(each.row, of) for each in slides]
    return PatchSource(patches, SETTINGS, masks=Masks({s.row.name: s.row for s in slides}, of))


def test_batches_have_the_masks_of_their_patches(tmp_path: Path) -> None:
    slides = [write_annotated(tmp_path, f"slide_{seed}", seed=seed) for seed in range(2)]
    of = recipe(margin_px=4)
    source = source_of(slides, of)
    pixels, truth = source.read(5)
    assert (pixels.shape, truth.shape, truth.dtype) == ((4, 32, 32, 3), (4, 32, 32), np.int32)
    for mask, item in zip(truth, source.draws(5), strict=True):
        one = slides[item.slide]
        wanted = expected_mask(one.regions, patches_of(one.row, of), item.patch)
        np.testing.assert_array_equal(mask, wanted)
    source.close()


def test_masks_reach_the_network_one_hot_and_moved_with_their_patches(tmp_path: Path) -> None:
    one = write_annotated(tmp_path, "one")
    source = source_of([one], recipe(mpp=1.0))
    moves = PatchAugmentation(colour=0, brightness=0)
    plain = [truth.numpy() for _, truth in patch_dataset(source).take(6)]
    moved = [
        (image.numpy(), truth.numpy()) for image, truth in patch_dataset(source, moves).take(6)
    ]
    assert any((before != after).any() for before, (_, after) in zip(plain, moved, strict=True))
    colours = np.array([GLASS_RGB, TUMOUR_RGB, STROMA_RGB]) / 255
    for images, truth in moved:
        assert truth.shape == (4, 32, 32, 3)
        assert truth.dtype == np.float32
        assert (truth.sum(axis=-1) == 1).all()
        # As above: JPEG blurs the borders.
        assert (np.abs(images - truth @ colours).sum(axis=-1) < 0.25).mean() > 0.9
    source.close()


def test_a_slide_whose_annotation_cannot_be_read_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slides = [write_annotated(tmp_path, f"slide_{seed}", seed=seed) for seed in range(3)]
    slides[1].row.annotation.write_text("{half of it")
    source = source_of(slides, recipe())
    with caplog.at_level(logging.WARNING):
        for number in range(12):
            source.read(number)
            assert 1 not in {item.slide for item in source.draws(number)}
    (message,) = [record.message for record in caplog.records]
    assert "slide_1.geojson" in message
    assert message.endswith("Training continues without this slide (2 left).")
    source.close()


def test_without_a_readable_annotation_training_ends(tmp_path: Path) -> None:
    one = write_annotated(tmp_path, "one")
    one.row.annotation.unlink()
    source = source_of([one], recipe())
    with pytest.raises(TrainingError, match=r"None of the 1 .*one\.geojson.* does not exist"):
        source.read(0)
    source.close()
