"""h2g prepare: indexes the labelled patches of a cohort."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from h2g.cli.options import common, data_root_option
from h2g.cli.output import print_json, results
from h2g.errors import H2GError

if TYPE_CHECKING:
    import pandas as pd


@click.command("prepare")
@click.argument("cohort", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder to write.")
@click.option("--recipe", required=True, help="Recipe: a name from 'h2g recipes' or a YAML file.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a value of the recipe."
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
@data_root_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(
    cohort: Path,
    out: Path,
    recipe: str,
    overrides: tuple[str, ...],
    jobs: int | None,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Find the tissue of every slide of COHORT (a CSV table) and index its labelled patches.

    Patch positions and labels go to OUT/index, tissue masks to OUT/tissue; no pixels are copied.
    Slides that are already indexed are skipped. A slide that fails is left out and reported, and
    the exit code is then 1.

    \b
    Examples:
      h2g prepare cohort/cohort.csv --out run --recipe demo
      h2g prepare cohort.csv --out run --recipe mob-pw --set preprocessing.patch.min_tissue=0.5
    """
    from h2g.folders.cohort import read_cohort
    from h2g.folders.run import start_run
    from h2g.recipes.reading import load_recipe
    from h2g.stages.prepare.prepare_run import check_counts, count_patches, index_cohort

    run = start_run(out, read_cohort(cohort, data_root=data_root), load_recipe(recipe, overrides))
    with run.stage("prepare"):
        failed = index_cohort(run, jobs=jobs or os.cpu_count() or 1)
        counts = count_patches(run)
        if as_json:
            print_json(_document(counts, failed))
        else:
            _print_table(counts)
        check_counts(run, counts)
    if failed:
        raise H2GError(
            f"{len(failed)} of {len(run.cohort.slides)} slides were left out: {', '.join(failed)}. "
            "Run the same command again to retry them."
        )


def _document(counts: pd.DataFrame, failed: dict[str, str]) -> dict[str, Any]:
    slides = [
        {
            **{key: row.pop(key) for key in ("slide", "split", "grade")},
            "patches": {name: int(count) for name, count in row.items()},
        }
        for row in counts.to_dict("records")
    ]
    left_out = [{"slide": name, "reason": reason} for name, reason in failed.items()]
    return {"slides": slides, "failed": left_out}


def _print_table(counts: pd.DataFrame) -> None:
    from rich import box
    from rich.table import Table

    classes = list(counts.columns[3:])
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("split", "grade", "slide"):
        table.add_column(column, overflow="fold")
    for name in classes:
        table.add_column(name, justify="right")
    for (split, grade), group in counts.groupby(["split", "grade"], sort=False):
        stratum = str(split), str(grade)
        for row in group.to_dict("records"):
            table.add_row(*stratum, row["slide"], *(str(row[name]) for name in classes))
        sums = (str(group[name].sum()) for name in classes)
        table.add_row(*stratum, f"all {len(group)}", *sums, style="bold")
        table.add_section()
    results().print(table)
