"""The shapes that other programs read."""

import csv
import json
from pathlib import Path

import pytest

from h2g.evaluation.boundaries import BoundaryScore
from h2g.evaluation.scores import Counts, Evaluation, FailedSlide, SlideScores
from h2g.evaluation.tables import evaluation_document, markdown, score_table, write_tables
from tests.markdown_text import narrow

ALL = ("patchwise", "smoothed", "refined")


def slide(name: str, grade: str, both: int, variants: tuple[str, ...]) -> SlideScores:
    """10 true and 10 predicted pixels: recall = precision = Dice = both / 10; refined 1 more."""
    counts = {
        variant: {"tumour": Counts(10, 10, both + (variant == "refined"))} for variant in variants
    }
    # Slide b has an outline in only one of segmentation and annotation.
    outline = BoundaryScore(300.0, 0.8) if name == "a" else BoundaryScore(None, 0.0)
    return SlideScores(name, grade, counts, {variant: {"tumour": outline} for variant in variants})


def evaluation(variants: tuple[str, ...] = ALL) -> Evaluation:
    return Evaluation(
        split="test",
        class_names=("tumour",),
        size_px=(256, 256),
        sigma_um=320.0,
        variants=variants,
        final_variant="refined" if "refined" in variants else "patchwise",
        all_variants=ALL,
        slides=(slide("a", "1", 9, variants), slide("b", "2", 5, variants)),
        failed=(FailedSlide("c", "c.svs: cannot be | read."),),
    )


def test_document() -> None:
    document = evaluation_document(evaluation())
    # Dice .9 and .5: mean .7, SD (ddof 0) .2; refined .1 higher on each.
    assert document["patchwise"]["dice"] == {"mean": pytest.approx(0.7), "sd": pytest.approx(0.2)}
    assert document["refined"]["recall"] == {"mean": pytest.approx(0.8), "sd": pytest.approx(0.2)}
    assert document["smoothed"]["sigma_um"] == 320.0
    assert document["smoothed"]["precision"]["mean"] == pytest.approx(0.7)
    assert document["refined"]["hausdorff95_um"] == {"mean": 300.0, "sd": 0.0}
    assert document["refined"]["boundary_f1"] == {"mean": 0.4, "sd": 0.4}
    assert document["refined"]["compared"] == 1
    assert document["n"] == 2
    assert document["split"] == "test"
    assert document["result"] == "refined"
    assert document["grades"]["2"]["n"] == 1
    assert document["grades"]["2"]["refined"]["hausdorff95_um"] is None
    assert document["grades"]["2"]["refined"]["dice"] == {"mean": 0.6, "sd": 0.0}
    assert document["slides"][0] == {
        "slide": "a",
        "grade": "1",
        "patchwise": {"recall": 0.9, "precision": 0.9, "dice": 0.9},
        "smoothed": {"recall": 0.9, "precision": 0.9, "dice": 0.9},
        "refined": {"recall": 1.0, "precision": 1.0, "dice": 1.0},
    }
    assert document["failed"] == [{"slide": "c", "reason": "c.svs: cannot be | read."}]
    assert "classes" not in document
    json.dumps(document, allow_nan=False)


def test_document_without_refinement() -> None:
    document = evaluation_document(evaluation(("patchwise", "smoothed")))
    assert document["refined"] is None
    assert document["result"] == "patchwise"
    assert document["slides"][0]["refined"] is None
    assert document["grades"]["1"]["refined"] is None


def test_document_of_several_classes() -> None:
    counts = {"invasive": Counts(10, 10, 8), "in situ": Counts(10, 10, 4)}
    outlines = {"invasive": BoundaryScore(100.0, 1.0), "in situ": BoundaryScore(300.0, 0.5)}
    slides = (SlideScores("a", "all", {"patchwise": counts}, {"patchwise": outlines}),)
    classes = ("invasive", "in situ")
    found = Evaluation(
        "test", classes, (8, 8), None, ("patchwise",), "patchwise", all_variants=ALL, slides=slides
    )
    document = evaluation_document(found)
    assert document["patchwise"]["dice"]["mean"] == pytest.approx(0.6)
    assert document["patchwise"]["hausdorff95_um"]["mean"] == 200
    assert document["patchwise"]["boundary_f1"]["mean"] == 0.75
    assert document["smoothed"] is None
    assert document["classes"]["in situ"]["patchwise"]["dice"]["mean"] == 0.4
    assert document["slides"][0]["classes"]["invasive"]["patchwise"]["dice"] == 0.8
    assert "## Class in situ" in markdown(found)
    assert score_table(found)["class"].tolist() == ["invasive", "in situ"]


def test_files(tmp_path: Path) -> None:
    write_tables(evaluation(), tmp_path)
    with (tmp_path / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 3
    assert rows[2] == {
        "slide": "a", "grade": "1", "variant": "refined", "class": "tumour", "recall": "1.0",
        "precision": "1.0", "dice": "1.0", "true_px": "10", "predicted_px": "10", "both_px": "10",
        "hausdorff95_um": "300.0", "boundary_f1": "0.8",
    }  # fmt: skip
    assert json.loads((tmp_path / "scores.json").read_text()) == evaluation_document(evaluation())
    text = narrow((tmp_path / "table.md").read_text())
    assert "| refined | 0.800 ± 0.200 | 0.800 ± 0.200 | 0.800 ± 0.200 |" in text
    assert "| 1 | 1 | 0.900 ± 0.000 | 0.900 ± 0.000 | 1.000 ± 0.000 |" in text
    assert "Gaussian of 320 um" in text
    assert "| refined | 300 ± 0 (1) | 0.400 ± 0.400 |" in text
    # A bar in a reason would end the cell.
    assert "| c | c.svs: cannot be \\| read. |" in text
