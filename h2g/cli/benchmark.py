"""h2g benchmark: run time of models on a slide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results
from h2g.engines.specs import DEVICES, ENGINES, PRECISIONS
from h2g.errors import H2GError

if TYPE_CHECKING:
    from h2g.benchmarking.row import RowResult


@click.command("benchmark")
@click.argument(
    "models", metavar="MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--slide", required=True, type=click.Path(path_type=Path), help="Slide to segment.")
@click.option(
    "--out",
    default=Path("benchmark"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the tables and the chart.",
)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    type=click.Choice(list(ENGINES)),
    help="May be repeated.  [default: all that MODEL has files for]",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    type=click.Choice(DEVICES),
    help="May be repeated.  [default: CPU, and a GPU that keras or onnxruntime has]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(PRECISIONS),
    help="May be repeated.  [default: all that MODEL and the processor have]",
)
@click.option("--repeats", type=click.IntRange(min=1), default=10, show_default=True)
@click.option(
    "--warm-ups",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Runs before the repeats; they are not counted.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads that read patches.  [default: one per core]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Patches per call of the network.",
)
@click.option(
    "--mpp",
    type=click.FloatRange(min=0, min_open=True),
    help="um/px of level 0; overrides the slide's own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print benchmark.json.")
@common
def command(
    models: tuple[Path, ...],
    slide: Path,
    out: Path,
    engines: tuple[str, ...],
    devices: tuple[str, ...],
    precisions: tuple[str, ...],
    repeats: int,
    warm_ups: int,
    workers: int | None,
    batch_size: int,
    mpp: float | None,
    as_json: bool,
) -> None:
    """Time how long each MODEL, a run folder (Keras) or a bundle, takes for one slide.

    Each combination of engine, device and precision is one row and runs in its own process. The
    whole prediction runs once to warm up and is then repeated; each phase is timed. A combination
    that cannot run here gets a row with the reason.

    OUT gets benchmark.json, .csv, .md and .png. After an interruption, run the command again: it
    keeps the rows that were timed with the same settings on the same machine.

    \b
    Examples:
      h2g benchmark bundle --slide slide.svs
      h2g benchmark run bundle --slide slide.svs --engine keras --engine openvino --repeats 3
    """
    from h2g.benchmarking.benchmark import Protocol, run_benchmark
    from h2g.benchmarking.choose_rows import Wanted
    from h2g.benchmarking.report import document
    from h2g.hardware import usable_cores

    wanted = Wanted(models, engines, devices, precisions)
    protocol = Protocol(
        slide=slide,
        mpp=mpp,
        threads=workers or usable_cores(),
        batch_size=batch_size,
        repeats=repeats,
        warm_ups=warm_ups,
    )
    rows = run_benchmark(wanted, protocol, out)
    if as_json:
        print_json(document(rows))
    else:
        _print_table(rows, out)
    failed = [row.settings.choice.label for row in rows if row.status == "failed"]
    if failed or not any(row.status == "ok" for row in rows):
        what = ", ".join(failed) or "none could run"
        raise H2GError(f"Not all rows were timed ({what}); see {out} for the reasons.")


def _print_table(rows: Sequence[RowResult], out: Path) -> None:
    from rich.table import Table

    from h2g.benchmarking.report import NAMES, names_of, paper_cells, paper_columns

    table = Table(title=f"{out}: seconds, mean ± standard deviation")
    for heading in NAMES:
        table.add_column(heading, overflow="fold")
    done = [row for row in rows if row.status == "ok"]
    for heading in (*paper_columns(done), "MiB"):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = [*paper_cells(row, done), row.peak_memory_text] if row.status == "ok" else []
        table.add_row(*names_of(row), *(cells or [row.status]))
    results().print(table)
    for row in rows:
        if row.status != "ok":
            results().print(f"{row.settings.choice.label}: {row.status}, {row.reason}")
