"""h2g slide-info: describes a slide and the source of its resolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results
from h2g.errors import SlideError

if TYPE_CHECKING:
    from h2g.slides.reading import SlideInfo


@click.command("slide-info")
@click.argument("slides", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--mpp",
    type=click.FloatRange(min=0, min_open=True),
    help="um/px of level 0; overrides the slides' own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(slides: tuple[Path, ...], mpp: float | None, as_json: bool) -> None:
    """Describe slides: dimensions, levels with um/px, objective, bounds, tiles and problems.

    A slide that cannot be read is listed with the reason, and the exit code is then 1.

    \b
    Examples:
      h2g slide-info slide.svs
      h2g slide-info region.png --mpp 0.5 --json
    """
    from h2g.slides.reading import describe_slide

    rows = []
    for path in slides:
        try:
            rows.append(_row(describe_slide(path, mpp=mpp)))
        except SlideError as error:
            rows.append({"slide": str(path), "status": "failed", "reason": str(error)})
    if as_json:
        print_json(rows)
    else:
        _print_tables(rows)
    if any(row["status"] == "failed" for row in rows):
        click.get_current_context().exit(1)


def _row(info: SlideInfo) -> dict[str, Any]:
    return {
        "slide": str(info.path),
        "status": "ok",
        "reason": None,
        "vendor": info.vendor,
        "field_level0": info.field_level0,
        "mpp": info.mpp,
        "mpp_source": info.mpp_source,
        "objective_power": info.objective_power,
        "levels": [
            {
                "size_px": level.size_px,
                "downsample": level.downsample,
                "mpp": info.mpp and info.mpp * level.downsample,
            }
            for level in info.levels
        ],
        "bounds_level0": info.bounds_level0,
        "tile_px": info.tile_px,
        "problems": info.problems,
    }


def _print_tables(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    console = results()
    for row in rows:
        table = Table(box=box.SIMPLE_HEAD, show_header=False)
        for name, value in _lines(row):
            table.add_row(name, value)
        console.print(row["slide"], style="bold", soft_wrap=True)
        console.print(table)


def _lines(row: dict[str, Any]) -> list[tuple[str, str]]:
    if row["status"] == "failed":
        return [("failed", row["reason"])]
    (width, height), (x, y, bounds_width, bounds_height) = row["field_level0"], row["bounds_level0"]
    resolution = f"{row['mpp']:.4g} um/px, source: {row['mpp_source']}" if row["mpp"] else "unknown"
    power, tile = row["objective_power"], row["tile_px"]
    whole = (x, y, bounds_width, bounds_height) == (0, 0, width, height)
    bounds = f"{bounds_width} x {bounds_height} at ({x}, {y})"
    return [
        ("pixels", f"{width} x {height}"),
        ("resolution", resolution),
        ("objective", f"{power:g}x" if power else "unknown"),
        ("vendor", row["vendor"]),
        ("levels", "\n".join(_level_line(level) for level in row["levels"])),
        ("tiles", f"{tile[0]} x {tile[1]}" if tile else "none"),
        ("bounds", "the whole field" if whole else bounds),
        ("problems", "\n".join(row["problems"]) or "none"),
    ]


def _level_line(level: dict[str, Any]) -> str:
    width, height = level["size_px"]
    mpp = f" at {level['mpp']:.4g} um/px" if level["mpp"] else f", 1/{level['downsample']:.4g}"
    return f"{width} x {height}{mpp}"
