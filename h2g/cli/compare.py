"""h2g compare: the paper's tables over several runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results

if TYPE_CHECKING:
    from h2g.evaluation.compare import Comparison
    from h2g.folders.cohort import Split


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for tables and plot."
)
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(runs: tuple[Path, ...], out: Path, split: Split, as_json: bool) -> None:
    """Compare RUNS that were evaluated on the same slides.

    The tables give recall, precision and Dice of every design (macro mean ± SD), Dice per grade,
    Tukey's range test as in the paper, Wilcoxon's signed-rank test with Holm's correction, and
    bootstrap intervals over patients. The smoothed heatmap, which needs no second network, has its
    own row. OUT gets compare.md, dice.png and one CSV file per table.

    \b
    Example:
      h2g evaluate mob-pw && h2g evaluate mob-pw-unet
      h2g compare mob-pw mob-pw-unet --out comparison
    """
    from h2g.evaluation.compare import compare_runs

    comparison = compare_runs(runs, out, split=split)
    if as_json:
        tables = ("overall", "by_grade", "tukey", "wilcoxon")
        document = {
            name: json.loads(getattr(comparison, name).to_json(orient="records")) for name in tables
        }
        print_json({"split": split, "n": len(comparison.dice), **document})
    else:
        _print(comparison, out)


def _print(comparison: Comparison, out: Path) -> None:
    from rich.table import Table

    from h2g.evaluation.scores import METRICS

    table = Table(title=f"{comparison.split}, {len(comparison.dice)} slides: mean ± SD")
    table.add_column("design", overflow="fold")
    for heading in (*METRICS, "dice, 95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in comparison.overall.to_dict("records"):
        cells = (f"{row[f'{metric}_mean']:.3f} ± {row[f'{metric}_sd']:.3f}" for metric in METRICS)
        table.add_row(row["design"], *cells, f"{row['dice_low']:.3f} to {row['dice_high']:.3f}")
    console = results()
    console.print(table)
    console.print(f"tables, tests and plot: {out}", soft_wrap=True)
