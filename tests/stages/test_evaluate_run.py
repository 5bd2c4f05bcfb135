"""Evaluation from slides to tables, with networks that recognise colours."""

import json
import os
import time
from pathlib import Path

import cv2
import pandas as pd
import pytest

from h2g.errors import H2GError, RunError
from h2g.evaluation.scores import Evaluation
from h2g.evaluation.tables import evaluation_document
from h2g.folders.run import Run
from h2g.slides.heatmap import draw_heatmap
from h2g.slides.tiff_files import read_heatmap
from h2g.stages.evaluate_run import evaluate_run
from tests.stages.drawn_run import SIDE_PX, ColourNetworks, draw_run, draw_slide, write_annotation

PATCHES = 16 * 10


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return draw_run(tmp_path)


def evaluate(run: Run, networks: ColourNetworks | None = None) -> Evaluation:
    return evaluate_run(run, "test", open_network=networks or ColourNetworks())


def test_a_patchwise_mask_is_drawn_not_stretched(run: Run) -> None:
    """The tumour ends with the 8th of 16 columns of patches, at pixel 512 of 1000."""
    evaluation = evaluate(run)
    # Raster pixels are 4 wide: 128 columns have their centre left of 512, in truth and drawn.
    # Stretched, the 8 of 16 columns would take 125: Dice 2 * 125 / (128 + 125) = .988.
    for slide in evaluation.slides:
        counts = slide.counts["patchwise"]["tumour"]
        assert counts.true == 128 * SIDE_PX
        assert (counts.predicted, counts.both) == (counts.true, counts.true)
        assert slide.score("patchwise").dice == 1.0
        assert slide.score("refined").dice == 1.0
    heatmap = read_heatmap(run.heatmap_file("test_a"))
    assert draw_heatmap(heatmap, (SIDE_PX, SIDE_PX))[0, :, 1].sum() == 128


def test_scores_by_hand(tmp_path: Path) -> None:
    """Tumour ends at 480, in the middle of the 8th column of patches: .5, which is not tumour."""
    evaluation = evaluate(draw_run(tmp_path, tumour_px=480))
    # 120 columns of truth, 7 * 64 / 4 = 112 found and all of them right.
    score = evaluation.slides[0].score("patchwise")
    assert score.recall == pytest.approx(112 / 120)
    assert score.precision == 1.0
    assert score.dice == pytest.approx(2 * 112 / (112 + 120))
    assert evaluation.slides[0].score("refined").dice == 1.0


def test_lesions_are_counted_one_by_one(tmp_path: Path) -> None:
    """One lesion per slide, found where the outline ends with a patch."""
    run = draw_run(tmp_path)
    evaluate(run)
    folder = run.evaluation_folder("test")
    table = pd.read_csv(folder / "lesions.csv")
    assert table["slide"].tolist() == [slide.name for slide in run.cohort.split("test")]
    assert (table[["lesions", "predicted", "found"]] == 1).all().all()
    assert (table[["precision", "recall", "f1"]] == 1).all().all()
    lines = (folder / "lesions.md").read_text().splitlines()
    assert [cell.strip() for cell in lines[-1].split("|")[1:8]] == [
        "tumour", "2", "2", "2", "1.000", "1.000", "1.000",
    ]  # fmt: skip


def test_outputs(run: Run) -> None:
    evaluation = evaluate(run)
    folder = run.path / "evaluation" / "test"
    table = pd.read_csv(folder / "scores.csv")
    assert len(table) == 2 * 3
    assert set(table["variant"]) == {"patchwise", "smoothed", "refined"}
    document = json.loads((folder / "scores.json").read_text())
    assert document == evaluation_document(evaluation)
    assert document["n"] == 2
    assert list(document["grades"]) == ["1", "2"]
    assert document["size_px"] == [SIDE_PX, SIDE_PX]
    assert document["result"] == "refined"
    # With equal scores, best and worst still differ; two slides have no separate median.
    overlays = sorted(path.name for path in (folder / "overlays").iterdir())
    assert overlays == ["best-test_b.png", "worst-test_a.png"]
    labels = cv2.imread(str(folder / "labels" / "test_a.png"), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    assert labels.shape == (SIDE_PX, SIDE_PX)
    assert labels.mean() == pytest.approx(128 / 250)
    # The validation slide is clean, so no smoothing is best.
    smoothing = json.loads((run.path / "evaluation" / "smoothing.json").read_text())
    assert smoothing["sigma_um"] == evaluation.sigma_um == 0
    assert smoothing["mean_dice"]["0.0"] == 1.0
    assert run.is_done("evaluation")


def test_a_second_evaluation_runs_no_network(run: Run) -> None:
    first = evaluate(run)
    networks = ColourNetworks()
    assert evaluate(run, networks) == first
    assert (networks.patch.seen, networks.refinement.seen) == (0, 0)


def test_changed_slides_are_scored_again(run: Run) -> None:
    evaluate(run)
    write_annotation(run.cohort.path.parent.parent / "test_b.geojson", 256)
    networks = ColourNetworks()
    second = evaluate(run, networks)
    assert (networks.patch.seen, networks.refinement.seen) == (0, 1)
    # 64 columns of truth now, 128 found.
    assert second.slides[1].score("refined").precision == 0.5
    run.model_file("refinement").write_text("another network")
    evaluate(run, networks)
    assert (networks.patch.seen, networks.refinement.seen) == (0, 3)


def test_stale_and_broken_heatmaps_are_made_again(run: Run) -> None:
    networks = ColourNetworks()
    evaluate(run, networks)
    assert networks.patch.seen == 3 * PATCHES
    run.heatmap_file("test_a").write_bytes(run.heatmap_file("test_a").read_bytes()[:100])
    later = time.time() + 10
    for name in ("test_a", "val_a"):
        os.utime(run.heatmap_file(name), (later, later))
    os.utime(run.model_file("patch"), (later, later))
    evaluate(run, networks)
    # test_a is broken, test_b older than the network, val_a neither.
    assert networks.patch.seen == 5 * PATCHES
    assert read_heatmap(run.heatmap_file("test_a")).values.shape == (10, 16, 2)


def test_without_refinement(tmp_path: Path) -> None:
    evaluation = evaluate(draw_run(tmp_path, refines=False))
    assert evaluation.size_px == (1024, 1024)
    assert evaluation.variants == ("patchwise", "smoothed")
    assert evaluation.final_variant == "patchwise"
    document = evaluation_document(evaluation)
    assert document["refined"] is None
    assert document["patchwise"]["dice"]["mean"] == 1.0
    assert document["result"] == "patchwise"


def test_failed_slides_are_listed_and_the_others_scored(run: Run) -> None:
    slide = run.cohort.split("test")[0].slide
    slide.write_text("no slide")
    evaluation = evaluate(run)
    assert [scored.slide for scored in evaluation.slides] == ["test_b"]
    assert evaluation.failed[0].slide == "test_a"
    assert "test_a.tiff" in evaluation.failed[0].reason
    assert "## Not scored" in (run.path / "evaluation" / "test" / "table.md").read_text()
    # Once repaired, it is scored with the rest.
    draw_slide(slide, 512)
    assert len(evaluate(run).slides) == 2


def test_a_broken_annotation_is_listed(run: Run) -> None:
    run.cohort.split("test")[1].annotation.write_text("{")
    assert [failed.slide for failed in evaluate(run).failed] == ["test_b"]


def test_an_error_gives_the_reasons_if_all_slides_fail(run: Run) -> None:
    for row in run.cohort.split("test"):
        row.slide.write_text("no slide")
    with pytest.raises(H2GError, match=r"None of the 2 slides of 'test'.*test_a.*test_b"):
        evaluate(run)


def test_no_validation_slide_means_no_smoothing(run: Run) -> None:
    run.cohort.split("val")[0].slide.write_text("no slide")
    evaluation = evaluate(run)
    assert evaluation.sigma_um is None
    assert evaluation_document(evaluation)["smoothed"] is None
    # It is not stored, but chosen again when the slide can be read.
    assert not (run.path / "evaluation" / "smoothing.json").exists()


def test_untrained_networks_and_empty_splits_are_reported(run: Run) -> None:
    run.model_file("refinement").unlink()
    with pytest.raises(RunError, match="refinement network is not trained yet"):
        evaluate(run)
    rows = tuple(row for row in run.cohort.slides if row.split != "test")
    empty = Run(run.path, run.recipe, type(run.cohort)(run.cohort.path, rows))
    run.model_file("refinement").write_text("the colour rule")
    with pytest.raises(RunError, match="no slide in split 'test'"):
        evaluate(empty)
