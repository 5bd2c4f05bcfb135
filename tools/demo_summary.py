"""Summarises the demo: scores, agreement of Keras and OpenVINO, seconds, files and an image.

python tools/demo_summary.py demo
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
import tifffile
from rich.console import Console
from rich.table import Table

from h2g.annotations.raster import rasterise
from h2g.annotations.reading import read_annotations
from h2g.benchmarking.parity import compare_files
from h2g.folders.cohort import CohortSlide
from h2g.folders.run import Run, evaluation_folder, open_run
from h2g.recipes.recipe import Recipe
from h2g.reporting.plots import PanelRow, draw_panels
from h2g.results.outputs import SlideFiles
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.slides.tiff_files import read_heatmap

VARIANTS = {"patchwise": "patch-wise", "smoothed": "smoothed", "refined": "refined"}
# An image of more slides would be too large.
MOST_SLIDES = 4
TRUTH_PX = 1024


def summarise(out: Path, timings: dict[str, float]) -> None:
    """Prints the table of a demo folder, and draws its panels.png.

    Args:
        timings: seconds of each command.
    """
    run = open_run(out / "run")
    scores = json.loads((run.evaluation_folder("test") / "scores.json").read_text("utf-8"))
    summary = pd.read_csv(out / "predictions" / "summary.csv")
    rows = _panel_rows(run, out / "predictions", summary, scores)
    if rows:
        draw_panels(out / "panels.png", rows, class_names=run.recipe.class_names)
    table = Table(title="h2g demo", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("remark", overflow="fold")
    _add_scores(table, scores)
    _add_engines(table, out / "predictions", out / "predictions_openvino")
    _add_seconds(table, run, timings)
    _add_places(table, out)
    Console().print(table)


def _add_scores(table: Table, scores: dict[str, Any]) -> None:
    table.add_row(f"[bold]Dice, {scores['n']} test slides[/bold]", "mean ± SD", "")
    remarks = {
        "patchwise": "the heatmap thresholded at 0.5",
        "smoothed": "a Gaussian on the heatmap, width chosen on val",
        "refined": "the refinement network",
    }
    if scores["smoothed"]:
        sigma_um = scores["smoothed"]["sigma_um"]
        remarks["smoothed"] = f"a Gaussian of {sigma_um:g} um on the heatmap, chosen on val"
    for variant, title in VARIANTS.items():
        if scores[variant]:
            dice = scores[variant]["dice"]
            table.add_row(f"  {title}", f"{dice['mean']:.3f} ± {dice['sd']:.3f}", remarks[variant])
    table.add_section()


def _add_engines(table: Table, keras: Path, openvino: Path) -> None:
    """Adds the agreement of two prediction folders, and the seconds per slide in each."""
    summaries = {
        "Keras": pd.read_csv(keras / "summary.csv"),
        "OpenVINO": pd.read_csv(openvino / "summary.csv"),
    }
    done = [set(s.loc[s["status"] == "ok", "slide"].astype(str)) for s in summaries.values()]
    slides = sorted(done[0] & done[1])
    if not slides:
        return
    parities = [
        compare_files(SlideFiles(openvino, name), SlideFiles(keras, name)) for name in slides
    ]
    table.add_row("[bold]OpenVINO against Keras[/bold]", "", "")
    difference = max(parity.heatmap_difference for parity in parities)
    table.add_row("  heatmap", f"{difference:.1e}", "largest difference of a probability")
    equal = min(parity.equal_pixels for parity in parities)
    table.add_row("  segmentation", f"{equal:.3%}", "pixels with the same label, worst slide")
    for name, summary in summaries.items():
        seconds = summary.loc[summary["slide"].astype(str).isin(slides), "seconds_total"].mean()
        table.add_row(f"  {name}", f"{seconds:.1f}", "seconds per slide")
    table.add_section()


def _add_seconds(table: Table, run: Run, timings: dict[str, float]) -> None:
    stages = run.seconds()
    evaluation = stages.pop("evaluation", None)
    rows = [("generating the cohort", timings.get("phantom"), "")]
    rows.append(("training", timings.get("train", sum(stages.values())), "all stages:"))
    rows += [(f"  {name}", seconds, "") for name, seconds in stages.items()]
    rows.append(("evaluation", timings.get("evaluate", evaluation), ""))
    rows.append(("prediction", timings.get("predict"), "Keras, including start-up"))
    rows.append(("export", timings.get("export"), "OpenVINO and FAST, checked"))
    rows.append(("prediction", timings.get("predict_openvino"), "OpenVINO, including start-up"))
    total = sum(timings.values())
    table.add_row("[bold]Seconds[/bold]", f"{total:.0f}" if timings else "", "")
    for name, seconds, remark in rows:
        if seconds is not None:
            table.add_row(f"  {name}", f"{seconds:.1f}", remark)
    table.add_section()


def _add_places(table: Table, out: Path) -> None:
    table.add_row("[bold]Where to look[/bold]", "", "")
    places = {
        "picture": out / "panels.png",
        "scores": evaluation_folder(out / "run", "test") / "table.md",
        "training curves": out / "run" / "*" / "history.png",
        "segmentations": out / "predictions" / "segmentations",
        "for QuPath": out / "predictions" / "geojson",
        "areas": out / "predictions" / "summary.csv",
        "for FastPathology": out / "bundle" / "fast",
    }
    for name, place in places.items():
        table.add_row(f"  {name}", "", str(place))
    table.add_row("  FAST", "", "h2g export run --format fast --install puts it in FastPathology")


def _panel_rows(
    run: Run, predictions: Path, summary: pd.DataFrame, scores: dict[str, Any]
) -> list[PanelRow]:
    predicted = set(summary.loc[summary["status"] == "ok", "slide"].astype(str))
    dice = {slide["slide"]: slide for slide in scores["slides"]}
    slides = [row for row in run.cohort.split("test") if row.name in predicted]
    return [
        _panel_row(row, run.recipe, predictions, dice.get(row.name, {}))
        for row in slides[:MOST_SLIDES]
    ]


def _panel_row(
    row: CohortSlide, recipe: Recipe, predictions: Path, scores: dict[str, Any]
) -> PanelRow:
    with open_slide(row.slide, mpp=row.mpp) as slide:
        plane = read_low_resolution(slide, recipe.preprocessing.low_resolution)
    annotated = read_annotations(row.annotation, recipe.annotation, plane.frame)
    truth = rasterise(
        annotated,
        recipe.class_names,
        field_level0=plane.frame.field_level0,
        size_px=(TRUTH_PX, TRUTH_PX),
    )
    return PanelRow(
        title=row.name if row.grade == "all" else f"{row.name} ({row.grade})",
        plane=plane,
        heatmap=read_heatmap(predictions / "heatmaps" / f"{row.name}.tiff"),
        segmentation=tifffile.imread(predictions / "segmentations" / f"{row.name}.tiff", key=0),
        truth=truth,
        notes=_notes(scores),
    )


def _notes(scores: dict[str, Any]) -> dict[str, str]:
    """Dice for the notes below the panels."""
    dice = {variant: scores[variant]["dice"] for variant in VARIANTS if scores.get(variant)}
    notes = {}
    if "patchwise" in dice:
        notes["heatmap"] = f"above 0.5: Dice {dice['patchwise']:.3f}"
        if "smoothed" in dice:
            notes["heatmap"] += f", smoothed {dice['smoothed']:.3f}"
    if "refined" in dice:
        notes["segmentation"] = f"Dice {dice['refined']:.3f}"
    return notes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, help="folder that tools/demo.py wrote")
    arguments = parser.parse_args()
    summarise(arguments.demo, json.loads((arguments.demo / "timings.json").read_text("utf-8")))


if __name__ == "__main__":
    main()
