"""h2g ablation: the paper's designs on one cohort."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results
from h2g.errors import H2GError

if TYPE_CHECKING:
    import pandas as pd


@click.command("ablation")
@click.argument("cohort", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for runs and tables."
)
@click.option(
    "--design",
    "designs",
    multiple=True,
    metavar="NAME",
    help="Only this design, e.g. mob-pw-unet; may be repeated.  [default: all nine]",
)
@click.option(
    "--scale",
    type=click.Choice(["paper", "small"]),
    default="paper",
    show_default=True,
    help="paper leaves the recipes unchanged; small fits two CPU cores.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value in every recipe that has its section, e.g. patch.weights=none.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes or threads that read slides.  [default: one per core]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(
    cohort: Path,
    out: Path,
    designs: tuple[str, ...],
    scale: str,
    seed: int,
    overrides: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
) -> None:
    """Train and score the designs of the H2G-Net paper on COHORT, and write the paper's Tables 1
    and 2 with its scores beside ours.

    Each design gets a run folder OUT/NAME, which all other commands accept. A stage that several
    designs share runs once. OUT also gets ablation.md, ablation.csv and comparison/ (the output of
    h2g compare). All of them are updated after every design.

    A design that fails gets a row with the reason. The same command tries it again, and resumes
    after an interruption. Use another OUT for another seed, scale or change.

    \b
    Examples:
      h2g ablation cohort.csv --out ablation --design mob-pw --design mob-pw-unet
      h2g phantom cohort && h2g ablation cohort/cohort.csv --out ablation --scale small
    """
    from h2g.ablation.run_ablation import run_ablation

    table = run_ablation(
        cohort,
        out,
        designs=designs,
        scale=scale,
        seed=seed,
        overrides=overrides,
        jobs=jobs or os.cpu_count() or 1,
    )
    if as_json:
        rows = json.loads(table.to_json(orient="records"))
        print_json({"out": str(out), "designs": rows})
    else:
        _print(table, out)
    failed = table["design"][table["status"] == "failed"]
    if len(failed):
        raise H2GError(f"Failed: {', '.join(failed)}. Run the same command to try again.")


def _print(table: pd.DataFrame, out: Path) -> None:
    from rich.table import Table

    from h2g.evaluation.scores import METRICS

    rows = Table(title=f"{out}: mean ± SD over the test slides")
    for heading in ("", "design"):
        rows.add_column(heading, no_wrap=True)
    for heading in (*METRICS, "paper's dice"):
        rows.add_column(heading, justify="right", no_wrap=True)
    rows.add_column("remark", overflow="fold")
    for row in table.fillna("").to_dict("records"):
        scores = (_mean_sd(row, name) for name in (*METRICS, "paper_dice"))
        rows.add_row(*(row.get(key, "") for key in ("number", "design")), *scores, row["remark"])
    console = results()
    console.print(rows)
    console.print(f"tables: {out / 'ablation.md'}", soft_wrap=True)


def _mean_sd(row: dict[Any, Any], name: str) -> str:
    mean, sd = (row.get(f"{name}_{part}", "") for part in ("mean", "sd"))
    return f"{mean:.3f} ± {sd:.3f}" if mean != "" else ""
