"""h2g phantom: generates a cohort of slides."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from h2g.cli.options import common


class SizeMm(click.ParamType):
    """A size in mm, or a range of sizes."""

    name = "MM|MM-MM"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | tuple[float, float]:
        try:
            sizes = [float(part) for part in str(value).split("-")]
        except ValueError:
            sizes = []
        if len(sizes) == 2 and sizes[0] < sizes[1]:
            return sizes[0], sizes[1]
        if len(sizes) != 1:
            self.fail(f"'{value}' is neither a size nor a range, such as 8 or 5-20.", param, ctx)
        return sizes[0]


@click.command("phantom")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--slides", default=12, show_default=True, help="Number of slides.")
@click.option(
    "--size-mm",
    type=SizeMm(),
    default="8",
    show_default=True,
    help="Shorter side of a slide in mm. A range such as 5-20 gives every slide another size, "
    "turns its section, and varies the glass around it.",
)
@click.option(
    "--lesions",
    type=click.Choice(["large", "sparse"]),
    default="large",
    show_default=True,
    help="large: over a quarter of the tissue is tumour. sparse: about 1 %, in small lesions.",
)
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
    out: Path,
    slides: int,
    size_mm: float | tuple[float, float],
    lesions: str,
    mpp: float,
    seed: int,
    jobs: int | None,
    suffix: str,
) -> None:
    """Generate a cohort of H&E slides with known truth in the folder OUT.

    OUT gets slides/, annotations/ (QuPath GeoJSON) and cohort.csv with grades, patients and splits
    (12 slides: 7 train, 2 val, 3 test). The same seed gives the same bytes on every machine. Run
    the command again to add missing files.

    \b
    Examples:
      h2g phantom cohort
      h2g phantom mixed --slides 30 --size-mm 5-20 --mpp 2
      h2g phantom lesions --lesions sparse --mpp 2
      h2g phantom big --slides 1 --size-mm 25 --mpp 0.25
    """
    from h2g.phantom import generate_cohort
    from h2g.phantom.anatomy import LESIONS

    table = generate_cohort(
        out,
        slides=slides,
        size_mm=size_mm,
        mpp=mpp,
        seed=seed,
        jobs=jobs or os.cpu_count() or 1,
        suffix=suffix,  # type: ignore[arg-type]
        anatomy=LESIONS[lesions],
    )
    click.echo(f"{table}")
