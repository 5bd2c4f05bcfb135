"""h2g phantom: generates a cohort of slides."""

from __future__ import annotations

import os
from pathlib import Path

import click

from h2g.cli.options import common


@click.command("phantom")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--slides", default=12, show_default=True, help="Number of slides.")
@click.option("--size-mm", default=8.0, show_default=True, help="Shorter side of a slide in mm.")
@click.option("--mpp", default=1.0, show_default=True, help="Resolution of level 0 in um/px.")
@click.option("--seed", default=0, show_default=True, help="Another seed gives another cohort.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["svs", "tiff"]),
    default="svs",
    show_default=True,
    help="svs is Aperio's format; tiff is a plain tiled pyramid without an objective power.",
)
@common
def command(
    out: Path, slides: int, size_mm: float, mpp: float, seed: int, jobs: int | None, suffix: str
) -> None:
    """Generate a cohort of H&E slides with known truth in the folder OUT.

    OUT gets slides/, annotations/ (QuPath GeoJSON) and cohort.csv with grades, patients and splits
    (12 slides: 7 train, 2 val, 3 test). The same seed gives the same bytes on every machine. Run
    the command again to add missing files.

    \b
    Examples:
      h2g phantom cohort
      h2g phantom big --slides 1 --size-mm 25 --mpp 0.25
    """
    from h2g.phantom import generate_cohort

    table = generate_cohort(
        out,
        slides=slides,
        size_mm=size_mm,
        mpp=mpp,
        seed=seed,
        jobs=jobs or os.cpu_count() or 1,
        suffix=suffix,  # type: ignore[arg-type]
    )
    click.echo(f"{table}")
