import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.data import labelling
from h2g.data.labelling import DISCARDED, CellTruth, cell_truth, label_cells
from h2g.data.patch_index import read_patch_index, write_patch_index
from h2g.errors import CohortError, RunError, SlideError
from h2g.folders.cohort import Cohort, CohortSlide
from h2g.folders.run import Run, start_run
from h2g.recipes.annotation import AnnotationSettings, LabelSettings
from h2g.recipes.preprocessing import PatchSettings, Preprocessing
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage
from h2g.stages.prepare import prepare_run as prepare_module
from h2g.stages.prepare.prepare_run import (
    count_patches,
    index_cohort,
    index_slide,
    prepare_run,
)
from tests.plain_plans import plain_plan

RECIPE = Recipe(
    name="test",
    description="64 um patches",
    preprocessing=Preprocessing(patch=PatchSettings(mpp=1.0, size_px=64, min_tissue=0.25)),
    annotation=AnnotationSettings(classes={"tumour": ("tumor",)}, unlisted="ignore"),
    refinement=RefinementStage(),
)
PINK, WHITE = (220, 120, 180), (255, 255, 255)

# A slide of 640 x 512 um at 1 um/px: 10 x 8 cells of 64.
# Tissue from x = 64 to 592: column 0 has none, column 9 exactly 16/64 = 25 %, too little. So
# columns 1 to 8 are tissue: 64 cells.
# Tumour covers cells (1, 1) and (1, 2), 16/64 = 25 % of (1, 4): neither tumour nor background,
# and 32/64 = 50 % of (1, 5): 3 tumour, 1 left out, 60 background.
TUMOUR = (
    shapely.box(64, 64, 192, 128),
    shapely.box(256, 64, 272, 128),
    shapely.box(320, 64, 352, 128),
)


def draw_slide(folder: Path, name: str, tumour: tuple[shapely.Polygon, ...] = TUMOUR) -> Path:
    image = np.full((512, 640, 3), WHITE, dtype=np.uint8)
    image[:, 64:592] = PINK
    Image.fromarray(image).save(folder / f"{name}.png")
    features = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(shape),
            "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
        }
        for shape in tumour
    ]
    document = {"type": "FeatureCollection", "features": features}
    (folder / f"{name}.geojson").write_text(json.dumps(document))
    return folder / f"{name}.png"


def row(folder: Path, name: str, split: str = "train", **changes: object) -> CohortSlide:
    slide = CohortSlide(
        name=name,
        slide=folder / f"{name}.png",
        annotation=folder / f"{name}.geojson",
        split=split,  # type: ignore[arg-type]
        mpp=1.0,
    )
    return replace(slide, **changes)  # type: ignore[arg-type]


def make_run(folder: Path, *slides: CohortSlide) -> Run:
    return start_run(folder / "run", Cohort(folder / "cohort.csv", slides), RECIPE)


@pytest.fixture
def two_slides(tmp_path: Path) -> Run:
    draw_slide(tmp_path, "a")
    draw_slide(tmp_path, "b")
    return make_run(tmp_path, row(tmp_path, "a", grade="1"), row(tmp_path, "b", "val", grade="2"))


def test_the_patch_rules(tmp_path: Path) -> None:
    draw_slide(tmp_path, "a")
    index, tissue = index_slide(row(tmp_path, "a"), RECIPE)
    assert index.counts() == {"background": 60, "tumour": 3}
    table = index.table
    assert sorted(table["col"].unique()) == list(range(1, 9))
    tumour = table[table["label"] == 1]
    assert list(zip(tumour["row"], tumour["col"], strict=True)) == [(1, 1), (1, 2), (1, 5)]
    assert list(tumour["x_level0"]) == [64, 128, 320]
    assert list(tumour["y_level0"]) == [64, 64, 64]
    assert not ((table["row"] == 1) & (table["col"] == 4)).any()
    assert (table["tissue"] == 1).all()
    assert (index.plan.rows, index.plan.cols, index.plan.size_px) == (8, 10, 64)
    assert tissue.share == pytest.approx((592 - 64) / 640)


def test_no_patch_and_no_tumour_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw_slide(tmp_path, "a", tumour=())
    Image.new("RGB", (640, 512), WHITE).save(tmp_path / "glass.png")
    with caplog.at_level(logging.WARNING):
        index, _ = index_slide(row(tmp_path, "a"), RECIPE)
    assert index.counts() == {"background": 64, "tumour": 0}
    assert f"{tmp_path / 'a.geojson'}: nothing is annotated" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        index_slide(row(tmp_path, "a", "test"), RECIPE)
        assert caplog.text == ""  # a test slide without tumour is normal
        glass = row(tmp_path, "glass", "test", annotation=tmp_path / "a.geojson")
        empty, _ = index_slide(glass, RECIPE)
    assert "glass: no patch" in caplog.text
    write_patch_index(empty, tmp_path / "empty.parquet")
    assert len(read_patch_index(tmp_path / "empty.parquet").table) == 0


def test_label_cells_worked_by_hand() -> None:
    # Two classes; the larger share wins, and must be above 0.25.
    shares = np.array(
        [[[0.0, 0.0], [0.25, 0.0], [0.26, 0.0], [0.3, 0.6], [0.001, 0.0], [0.2, 0.2]]],
        dtype=np.float32,
    )
    labels = label_cells(CellTruth(shares, np.ones((1, 6), bool)), LabelSettings())
    np.testing.assert_array_equal(labels, [[0, DISCARDED, 1, 2, DISCARDED, DISCARDED]])
    assert labels.dtype == np.int8
    some = np.array([[False, True, False, True, True, True]])
    labels = label_cells(CellTruth(shares, some), LabelSettings())
    np.testing.assert_array_equal(
        labels, [[DISCARDED, DISCARDED, DISCARDED, 2, DISCARDED, DISCARDED]]
    )


def test_rules_for_tiles() -> None:
    shares = np.array([[[0.0, 0.0], [0.04, 0.0], [0.03, 0.03], [0.2, 0.7], [0.5, 0.496]]])
    truth = CellTruth(shares.astype(np.float32), np.ones((1, 5), bool))
    anything = label_cells(truth, LabelSettings(rule="any"))
    np.testing.assert_array_equal(anything, [[0, 1, 1, 2, 1]])
    share = label_cells(truth, LabelSettings(rule="share"))
    np.testing.assert_array_equal(share, [[DISCARDED, DISCARDED, 1, 2, DISCARDED]])
    narrow = LabelSettings(rule="share", share_range=(0.5, 1))
    np.testing.assert_array_equal(label_cells(truth, narrow), [[DISCARDED] * 3 + [2, 1]])


def test_shares_of_cells_are_areas(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plain_plan(100, rows=5, cols=4, field_level0=(370, 480))
    disc = shapely.Point(180, 210).buffer(130)
    square = shapely.box(0, 400, 50, 450)
    drawn = AnnotatedRegions((Region(disc, "tumour"), Region(square, "stroma")), Path("a"))
    names = ("background", "tumour", "stroma")
    truth = cell_truth(plan, drawn, names)
    shares = truth.shares
    assert truth.is_annotated.all()
    assert shares.shape == (5, 4, 2)
    cells = [
        [shapely.box(c, r, c + 100, r + 100) for c in range(0, 400, 100)]
        for r in range(0, 500, 100)
    ]
    exact = [
        [disc.intersection(cell).area / 1e4 for cell in cells_of_row] for cells_of_row in cells
    ]
    np.testing.assert_allclose(shares[..., 0], exact, atol=0.005)
    assert shares[4, 0, 1] == 0.25
    monkeypatch.setattr(labelling, "BAND_PX", 2 * 32 * 4 * 32)  # two rows of cells at a time
    np.testing.assert_array_equal(cell_truth(plan, drawn, names).shares, shares)
    part = cell_truth(plan, replace(drawn, within=shapely.box(100, 95, 300, 310)), names)
    np.testing.assert_array_equal(
        part.is_annotated, [[c in (1, 2) and r in (1, 2) for c in range(4)] for r in range(5)]
    )


def test_an_index_comes_back_as_it_was_written(tmp_path: Path) -> None:
    draw_slide(tmp_path, "a")
    index, _ = index_slide(row(tmp_path, "a"), RECIPE)
    write_patch_index(index, tmp_path / "a.parquet")
    back = read_patch_index(tmp_path / "a.parquet")
    assert (back.name, back.plan, back.class_names) == (index.name, index.plan, index.class_names)
    assert back.table.equals(index.table.astype(back.table.dtypes))
    assert back.table["label"].dtype == np.int8


def test_a_missing_or_damaged_index_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Run 'h2g prepare' to make it"):
        read_patch_index(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(RunError, match="damaged"):
        read_patch_index(tmp_path / "a.parquet")


def test_a_run_is_prepared(two_slides: Run) -> None:
    counts = prepare_run(two_slides, jobs=1)
    assert counts.to_dict("records") == [
        {"split": "train", "grade": "1", "slide": "a", "background": 60, "tumour": 3},
        {"split": "val", "grade": "2", "slide": "b", "background": 60, "tumour": 3},
    ]
    assert two_slides.tissue_file("a").is_file()


def test_processes_write_the_same(two_slides: Run) -> None:
    alone = prepare_run(two_slides, jobs=1)
    table = read_patch_index(two_slides.index_file("a")).table
    for name in ("a", "b"):
        two_slides.index_file(name).unlink()
    together = prepare_run(two_slides, jobs=2)
    assert together.equals(alone)
    assert read_patch_index(two_slides.index_file("a")).table.equals(table)


def test_a_rerun_makes_missing_and_damaged_files(
    two_slides: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_run(two_slides, jobs=1)
    done: list[str] = []
    monkeypatch.setattr(
        prepare_module,
        "index_slide",
        lambda slide, r: done.append(slide.name) or index_slide(slide, r),
    )
    prepare_run(two_slides, jobs=1)
    assert done == []
    two_slides.index_file("b").write_bytes(two_slides.index_file("b").read_bytes()[:100])
    prepare_run(two_slides, jobs=1)
    assert done == ["b"]
    two_slides.tissue_file("a").unlink()
    prepare_run(two_slides, jobs=1)
    assert done == ["b", "a"]


def test_a_failed_slide_is_left_out_and_the_others_continue(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw_slide(tmp_path, "a")
    draw_slide(tmp_path, "b")
    draw_slide(tmp_path, "unreadable").write_text("no slide")
    draw_slide(tmp_path, "unmarked")
    (tmp_path / "unmarked.geojson").write_text("no JSON")
    draw_slide(tmp_path, "scaleless")
    run = make_run(
        tmp_path,
        row(tmp_path, "unreadable"),
        row(tmp_path, "a"),
        row(tmp_path, "unmarked"),
        row(tmp_path, "b", "val"),
        row(tmp_path, "scaleless", mpp=None),
    )
    failed = index_cohort(run, jobs=1)
    assert sorted(failed) == ["scaleless", "unmarked", "unreadable"]
    assert "not JSON" in failed["unmarked"]
    assert "--mpp" in failed["scaleless"]
    assert "unreadable is left out: " in caplog.text
    assert list(count_patches(run)["slide"]) == ["a", "b"]
    assert not run.tissue_file("unreadable").exists()


def test_a_missing_class_stops(tmp_path: Path) -> None:
    draw_slide(tmp_path, "a")
    draw_slide(tmp_path, "b", tumour=())
    run = make_run(tmp_path, row(tmp_path, "a"), row(tmp_path, "b", "val"))
    with pytest.raises(CohortError, match="split 'val' has no patch of class 'tumour'") as failure:
        prepare_run(run, jobs=1)
    assert "1 slides have: 64 background, 0 tumour" in str(failure.value)
    assert run.index_file("a").exists()  # finished slides are kept


def test_a_missing_split_stops(tmp_path: Path) -> None:
    draw_slide(tmp_path, "a")
    with pytest.raises(CohortError, match=r"split 'val' \(0 listed: give some slides"):
        prepare_run(make_run(tmp_path, row(tmp_path, "a")), jobs=1)


def test_a_split_that_failed_stops(tmp_path: Path) -> None:
    draw_slide(tmp_path, "a")
    draw_slide(tmp_path, "b").write_text("no slide")
    run = make_run(tmp_path, row(tmp_path, "a"), row(tmp_path, "b", "val"))
    with pytest.raises(CohortError, match=r"split 'val' \(1 listed: all failed"):
        prepare_run(run, jobs=1)


def test_an_unreadable_slide_is_a_slide_error(tmp_path: Path) -> None:
    draw_slide(tmp_path, "a").write_text("no slide")
    with pytest.raises(SlideError):
        index_slide(row(tmp_path, "a"), RECIPE)


def test_small_classes_and_missing_grades_are_reported_once(
    two_slides: Run, caplog: pytest.LogCaptureFixture
) -> None:
    # Grade 1 is only in train, grade 2 only in val; each has 3 patches of tumour.
    prepare_run(two_slides, jobs=1)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 3
    assert "split 'train' has only 3 patches of class 'tumour'. The sampler repeats" in warnings[0]
    assert "split 'val' has only 3 patches of class 'tumour'" in warnings[1]
    assert warnings[2].endswith(
        "no slide of grade '2' in split 'train'; nor of '1' in split 'val'."
    )


def test_one_grade_everywhere_is_not_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw_slide(tmp_path, "a")
    draw_slide(tmp_path, "b")
    slides = [row(tmp_path, "a"), row(tmp_path, "b", "val")]
    prepare_run(make_run(tmp_path, *(replace(slide, grade="1") for slide in slides)), jobs=1)
    assert "no slide of grade" not in caplog.text
