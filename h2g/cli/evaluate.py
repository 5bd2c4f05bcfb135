"""h2g evaluate: score a run on a split."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from h2g.cli.options import common, data_root_option
from h2g.cli.output import print_json, results
from h2g.errors import H2GError

if TYPE_CHECKING:
    import pandas as pd

    from h2g.evaluation.scores import Evaluation
    from h2g.folders.cohort import Split


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads that read patches if a slide has no heatmap yet.  [default: one per core]",
)
@click.option(
    "--adaptive",
    is_flag=True,
    help="Show what 'h2g predict --patches adaptive' saves and costs, by threshold.",
)
@click.option(
    "--max-loss",
    type=click.FloatRange(min=0),
    default=0.002,
    show_default=True,
    help="With --adaptive: loss of Dice that the chosen threshold may have.",
)
@click.option(
    "--darker",
    type=click.FloatRange(min=0, min_open=True),
    help="With --adaptive: also classify patches whose mean red (of 255) is this much below their "
    "neighbours'.",
)
@data_root_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(
    run: Path,
    split: Split,
    workers: int | None,
    adaptive: bool,
    max_loss: float,
    darker: float | None,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Score RUN on the slides of a split: recall, precision and Dice.

    Patch-wise, smoothed and refined results are scored per slide, per grade and as macro mean ± SD.
    Tables and overlays go to RUN/evaluation/SPLIT. Slides that are already scored are kept.

    With --adaptive, only a table of thresholds is made, with adaptive.csv and adaptive.png. Choose
    the threshold on val.

    \b
    Examples:
      h2g evaluate run --split test
      h2g evaluate run --split val --adaptive
    """
    from h2g.evaluation.tables import evaluation_document
    from h2g.folders.run import open_run
    from h2g.stages.adaptive_curve import adaptive_curve
    from h2g.stages.evaluate_run import evaluate_run

    opened, threads = open_run(run, data_root=data_root), workers or os.cpu_count() or 1
    if adaptive:
        curve = adaptive_curve(opened, split, darker=darker, threads=threads)
        _print_curve(curve, opened.evaluation_folder(split), max_loss, as_json=as_json)
        return
    evaluation = evaluate_run(opened, split, threads=threads)
    if as_json:
        print_json(evaluation_document(evaluation))
    else:
        _print(evaluation, opened.evaluation_folder(split))
    if evaluation.failed:
        reasons = " ".join(f"{failed.slide}: {failed.reason}" for failed in evaluation.failed)
        raise H2GError(f"Not every slide of '{split}' could be scored. {reasons}")


def _print_curve(curve: pd.DataFrame, folder: Path, max_loss: float, *, as_json: bool) -> None:
    from rich.table import Table

    from h2g.stages.adaptive_curve import chosen_threshold, mean_curve

    means = mean_curve(curve)
    variant = str(means["variant"].iloc[-1])  # the run's result
    chosen = chosen_threshold(curve, variant, max_loss)
    if as_json:
        rows = means.astype(object).where(means.notna(), None).to_dict("records")
        print_json({"means": rows, "variant": variant, "threshold": chosen})
        return
    table = Table(title=f"{folder.name}, {curve['slide'].nunique()} slides: means")
    for heading in ("", "threshold", "patches, %", "dice", "loss"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in means.to_dict("records"):
        threshold = "all" if math.isnan(row["threshold"]) else f"{row['threshold']:g}"
        numbers = (f"{row['percent']:.1f}", f"{row['dice']:.4f}", f"{row['loss']:+.4f}")
        table.add_row(row["variant"], threshold, *numbers)
    console = results()
    console.print(table)
    console.print(
        f"no threshold loses at most {max_loss:g} Dice"
        if chosen is None
        else f"--patches adaptive:{chosen:g} loses at most {max_loss:g} Dice ({variant})"
    )
    console.print(f"table and plot: {folder}", soft_wrap=True)


def _print(evaluation: Evaluation, folder: Path) -> None:
    from rich.table import Table

    from h2g.evaluation.scores import METRICS, summarise
    from h2g.evaluation.tables import title

    count = len(evaluation.slides)
    table = Table(title=f"{evaluation.split}, {count} slide{'s' if count > 1 else ''}: mean ± SD")
    for header in ("", *METRICS):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    for variant in evaluation.variants:
        summary = summarise(slide.score(variant) for slide in evaluation.slides)
        cells = (f"{summary[metric].mean:.3f} ± {summary[metric].sd:.3f}" for metric in METRICS)
        table.add_row(title(variant), *cells)
    grades = Table(title="dice per grade")
    for header in ("grade", "slides", *(title(variant) for variant in evaluation.variants)):
        grades.add_column(header, justify="left" if header == "grade" else "right")
    for grade, slides in evaluation.grades().items():
        dice = (summarise(s.score(v) for s in slides)["dice"] for v in evaluation.variants)
        cells = (f"{summary.mean:.3f} ± {summary.sd:.3f}" for summary in dice)
        grades.add_row(grade, str(len(slides)), *cells)
    console = results()
    console.print(table)
    if grades.row_count > 1:
        console.print(grades)
    if evaluation.sigma_um is not None:
        console.print(f"smoothing: {evaluation.sigma_um:g} um, chosen on val")
    console.print(f"tables and overlays: {folder}", soft_wrap=True)
