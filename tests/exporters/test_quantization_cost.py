"""What int8 costs, on drawn slides where it can be counted.

A slide has 8 x 4 patches of 64 px: the left four columns are tumour, the last of them faint on some
slides. A network that does not see the faint one misses 4 of 32 patches there, and finds 12 of 16
columns of tumour: Dice 2 * 12 / (12 + 16) = 6/7.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from h2g.concurrency import Key
from h2g.engines.engine import (
    HEATMAP_INPUT,
    IMAGE_INPUT,
    PATCH_INPUT,
    Feed,
    Shape,
    one_by_one,
)
from h2g.exporters import quantization_cost
from h2g.exporters.quantization_cost import MeasuredCost, measure_cost, why_refused
from h2g.folders.bundle import QuantisationCost
from h2g.folders.cohort import Cohort, read_cohort
from h2g.folders.run import Run, start_run
from h2g.recipes.preprocessing import LowResolutionSettings, PatchSettings, Preprocessing
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage
from h2g.slides.tiff_files import write_pyramid
from h2g.stages.prepare.prepare_run import index_cohort

STROMA, TUMOUR, FAINT = (225, 160, 200), (120, 60, 150), (170, 100, 175)
ALL_TUMOUR, ONLY_DARK = (TUMOUR, FAINT), (TUMOUR,)
WIDTH, HEIGHT, PX = 512, 256, 64
SIDE_PX = 64  # of the refinement: 8 and 4 level-0 pixels a raster pixel
# name, split, grade, whether its fourth column is faint
SLIDES = [
    ("train_a", "train", "1", False),
    ("val_dark", "val", "1", False),
    ("val_faint", "val", "2", True),
]


class ColourNetwork:
    """Takes some colours for tumour; keeps what it was given."""

    engine, device, precision = "colour", "CPU", "float32"

    def __init__(self, colours: tuple[tuple[int, int, int], ...], *inputs: str) -> None:
        self.colours = colours
        self.inputs: dict[str, Shape] = dict.fromkeys(inputs, ())
        self.seen: list[Feed] = []

    def run(self, inputs: Feed) -> np.ndarray:
        assert inputs.keys() == self.inputs.keys()
        self.seen.append(inputs)
        if PATCH_INPUT in inputs:
            tumour = tumour_of(inputs[PATCH_INPUT], self.colours)
            return tumour.mean(axis=(1, 2), dtype=np.float32)
        (image,) = inputs[IMAGE_INPUT]
        small = cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST_EXACT)
        return tumour_of(small, self.colours)[np.newaxis]

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return one_by_one(self.run, batches)


Networks = dict[str, ColourNetwork]


def one_stage(colours: tuple[tuple[int, int, int], ...]) -> Networks:
    return {"patch": ColourNetwork(colours, PATCH_INPUT)}


def two_stages(
    patch_colours: tuple[tuple[int, int, int], ...], pixel_colours: tuple[tuple[int, int, int], ...]
) -> Networks:
    refinement = ColourNetwork(pixel_colours, IMAGE_INPUT, HEATMAP_INPUT)
    return {**one_stage(patch_colours), "refinement": refinement}


def classified(networks: Networks) -> int:
    return sum(len(feed[PATCH_INPUT]) for feed in networks["patch"].seen)


def cells_of_tumour(networks: Networks) -> list[int]:
    return [int(feed[HEATMAP_INPUT].sum()) for feed in networks["refinement"].seen]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("cost")
    lines = ["slide,annotation,split,grade"]
    corners = [[0, 0], [WIDTH // 2, 0], [WIDTH // 2, HEIGHT], [0, HEIGHT], [0, 0]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }
    for name, split, grade, faint in SLIDES:
        image = np.full((HEIGHT, WIDTH, 3), STROMA, np.uint8)
        image[:, : 4 * PX] = TUMOUR
        if faint:
            image[:, 3 * PX : 4 * PX] = FAINT
        write_pyramid(folder / f"{name}.tiff", image, mpp=1.0, tile_px=256)
        document = {"type": "FeatureCollection", "features": [feature]}
        (folder / f"{name}.geojson").write_text(json.dumps(document))
        lines.append(f"{name}.tiff,{name}.geojson,{split},{grade}")
    (folder / "cohort.csv").write_text("\n".join(lines))
    return read_cohort(folder / "cohort.csv")


@pytest.fixture
def run(cohort: Cohort, tmp_path: Path) -> Run:
    """One stage, indexed."""
    return indexed(start_run(tmp_path / "run", cohort, recipe(refines=False)))


def recipe(*, refines: bool) -> Recipe:
    return Recipe(
        name="colour",
        description="Tumour by colour.",
        preprocessing=Preprocessing(
            patch=PatchSettings(mpp=1.0, size_px=PX),
            low_resolution=LowResolutionSettings(min_side_px=HEIGHT),
        ),
        refinement=RefinementStage(input_px=SIDE_PX) if refines else None,
    )


def indexed(run: Run) -> Run:
    assert index_cohort(run, jobs=1) == {}
    return run


def tumour_of(rgb: np.ndarray, colours: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """(..., 2) float32, background first."""
    near = [np.abs(rgb.astype(np.int16) - colour).max(axis=-1) < 20 for colour in colours]
    tumour = np.any(near, axis=0)
    return np.stack([~tumour, tumour], axis=-1).astype(np.float32)


def without(run: Run, *names: str) -> Run:
    slides = tuple(slide for slide in run.cohort.slides if slide.name not in names)
    return replace(run, cohort=replace(run.cohort, slides=slides))


def test_one_stage_counted_by_hand(run: Run) -> None:
    exact, blind = one_stage(ALL_TUMOUR), one_stage(ONLY_DARK)
    cost = measure_cost(run, {"float32": exact, "int8": blind})
    # 32 patches of each of two slides; 4 of the second are missed.
    assert cost.accuracy == {"patch": {"float32": 1.0, "int8": 60 / 64}}
    assert cost.dice == {"float32": 1.0, "int8": pytest.approx((1 + 6 / 7) / 2)}
    assert classified(exact) == classified(blind) == 64


def test_two_stages_are_scored_by_the_second(cohort: Cohort, tmp_path: Path) -> None:
    run = indexed(start_run(tmp_path / "run", cohort, recipe(refines=True)))
    exact = two_stages(ALL_TUMOUR, ALL_TUMOUR)
    # Wrong about patches and right about pixels, and the other way round.
    blind_patches = two_stages(ONLY_DARK, ALL_TUMOUR)
    blind_pixels = two_stages(ALL_TUMOUR, ONLY_DARK)
    cost = measure_cost(run, {"float32": exact, "int8": blind_patches})
    assert cost.accuracy == {"patch": {"float32": 1.0, "int8": 60 / 64}}
    assert cost.dice == {"float32": 1.0, "int8": 1.0}
    # Each refines its own heatmap.
    assert cells_of_tumour(exact) == [16, 16]
    assert cells_of_tumour(blind_patches) == [16, 12]
    cost = measure_cost(run, {"float32": blind_pixels, "int8": exact})
    assert cost.accuracy == {"patch": {"float32": 1.0, "int8": 1.0}}
    assert cost.dice == {"float32": pytest.approx((1 + 6 / 7) / 2), "int8": 1.0}


def test_a_network_of_the_slide_alone_has_no_patches_to_count(
    cohort: Cohort, tmp_path: Path
) -> None:
    stages = {"patch": None, "refinement": RefinementStage(input_px=SIDE_PX, inputs="image")}
    alone = recipe(refines=False).model_copy(update=stages)
    run = start_run(tmp_path / "run", cohort, alone)
    exact, blind = ({"refinement": ColourNetwork(c, IMAGE_INPUT)} for c in (ALL_TUMOUR, ONLY_DARK))
    cost = measure_cost(run, {"float32": exact, "int8": blind})
    assert cost.accuracy == {}
    assert cost.dice == {"float32": 1.0, "int8": pytest.approx((1 + 6 / 7) / 2)}


def test_nothing_to_measure_without_validation_slides(run: Run) -> None:
    networks = one_stage(ALL_TUMOUR)
    only_train = without(run, "val_dark", "val_faint")
    cost = measure_cost(only_train, {"float32": networks, "int8": networks})
    assert cost == MeasuredCost({}, None)
    assert classified(networks) == 0


def test_a_slide_that_cannot_be_read_is_left_out(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = tmp_path / "val_dark.tiff"
    gone.write_bytes(b"no slide")
    slides = tuple(
        replace(slide, slide=gone) if slide.name == "val_dark" else slide
        for slide in run.cohort.slides
    )
    run = replace(run, cohort=replace(run.cohort, slides=slides))
    cost = measure_cost(run, {"float32": one_stage(ALL_TUMOUR), "int8": one_stage(ONLY_DARK)})
    assert cost.accuracy == {"patch": {"float32": 1.0, "int8": 28 / 32}}
    assert cost.dice == {"float32": 1.0, "int8": pytest.approx(6 / 7)}
    assert "measured without val_dark" in caplog.text


def test_slides_without_an_index_count_for_dice_alone(cohort: Cohort, tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", cohort, recipe(refines=False))
    networks = one_stage(ALL_TUMOUR)
    cost = measure_cost(run, {"float32": networks, "int8": networks})
    assert cost == MeasuredCost({}, {"float32": 1.0, "int8": 1.0})


def test_many_slides_are_thinned_out_evenly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (train, dark, faint) = run.cohort.slides
    several = [replace(dark, name=f"dark_{number}") for number in range(4)]
    run = replace(run, cohort=replace(run.cohort, slides=(train, faint, *several)))
    monkeypatch.setattr(quantization_cost, "MOST_SLIDES", 3)
    exact, blind = one_stage(ALL_TUMOUR), one_stage(ONLY_DARK)
    cost = measure_cost(run, {"float32": exact, "int8": blind})
    # Of grade 1 the first and the third, and the faint one, which is grade 2.
    assert classified(exact) == 3 * 32
    assert cost.dice == {"float32": 1.0, "int8": pytest.approx((2 + 6 / 7) / 3)}


def test_a_loss_beyond_the_limit_is_refused_with_its_figures() -> None:
    cost = QuantisationCost(
        calibration={"patch": 48, "refinement": 4},
        accuracy={"patch": {"float32": 0.953, "int8": 0.91}},
        dice={"float32": 0.92, "int8": 0.875},
    )
    assert why_refused(cost) == (
        "int8 loses 0.045 of the mean Dice on the validation slides, and at most 0.01 is allowed: "
        "0.920 in float32, 0.875 in int8, and patch accuracy falls from 0.953 to 0.910 (ranges "
        "from 48 patch inputs and 4 refinement inputs)"
    )


@pytest.mark.parametrize(
    ("float32", "int8", "refused"),
    [
        (0.92, 0.92, False),
        (0.92, 0.95, False),
        (0.92, 0.91, False),  # just what is allowed, and in binary a little more
        (0.92, 0.9099, True),
        (0.92, float("nan"), True),
    ],
)
def test_what_is_refused(float32: float, int8: float, refused: bool) -> None:
    dice = {"float32": float32, "int8": int8}
    cost = QuantisationCost(calibration={"patch": 1}, accuracy={}, dice=dice)
    assert (why_refused(cost) is not None) == refused


def test_what_was_not_measured_is_not_refused() -> None:
    assert why_refused(QuantisationCost(calibration={"patch": 1}, accuracy={}, dice=None)) is None
