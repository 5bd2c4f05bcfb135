"""h2g tissue: tissue masks and previews of slides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results
from h2g.errors import SlideError, WrongUseError
from h2g.texts import name_of_slide

if TYPE_CHECKING:
    from h2g.recipes.preprocessing import TissueSettings


@click.command("tissue")
@click.argument("slides", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for masks and previews."
)
@click.option(
    "--profile",
    type=click.Choice(["paper", "fast", "fast-4.15"]),
    help="Profile whose tissue rule is used.  [default: paper]",
)
@click.option("--recipe", help="Recipe whose tissue rule is used (a name or a YAML file).")
@click.option(
    "--mpp",
    type=click.FloatRange(min=0, min_open=True),
    help="um/px of level 0; overrides the slides' own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(
    slides: tuple[Path, ...],
    out: Path,
    profile: str | None,
    recipe: str | None,
    mpp: float | None,
    as_json: bool,
) -> None:
    """Write OUT/SLIDE.png (mask) and OUT/SLIDE_preview.png, and print the share of tissue.

    A slide that cannot be read is listed with the reason, and the exit code is then 1.

    \b
    Examples:
      h2g tissue slide.svs --out tissue
      h2g tissue slides/*.svs --out tissue --profile fast
    """
    from h2g.progress import track

    settings = _settings(profile, recipe)
    _check_names(slides)
    rows = [
        _write_one(path, out, settings, mpp)
        for path in track(slides, "Finding tissue", total=len(slides))
    ]
    if as_json:
        print_json(rows)
    else:
        _print_table(rows)
    if any(row["status"] == "failed" for row in rows):
        click.get_current_context().exit(1)


def _settings(profile: str | None, recipe: str | None) -> TissueSettings:
    from h2g.recipes.preprocessing import PROFILES
    from h2g.recipes.reading import load_recipe

    if profile and recipe:
        raise WrongUseError("--profile and --recipe both name a tissue rule; give one of them.")
    if recipe:
        return load_recipe(recipe).preprocessing.tissue
    return PROFILES[profile or "paper"].tissue


def _check_names(slides: tuple[Path, ...]) -> None:
    first: dict[Path, int] = {}
    for number, path in enumerate(slides):
        for file in _files(path, Path()):
            other = first.setdefault(file, number)
            if other != number:
                raise WrongUseError(
                    f"{slides[other]} and {path} would both write {file}, because files are named "
                    "after slides. Use a separate call and --out for each."
                )


def _files(path: Path, out: Path) -> tuple[Path, Path]:
    """Mask and preview of a slide."""
    name = name_of_slide(path)
    return out / f"{name}.png", out / f"{name}_preview.png"


def _write_one(
    path: Path, out: Path, settings: TissueSettings, mpp: float | None
) -> dict[str, Any]:
    from h2g.slides.info import warn_of_problems
    from h2g.slides.reading import open_slide
    from h2g.slides.tissue import (
        read_tissue_plane,
        tissue_of_plane,
        write_preview,
        write_tissue,
    )

    try:
        with open_slide(path, mpp=mpp) as slide:
            info = slide.info
            plane = read_tissue_plane(slide, settings)
    except SlideError as error:
        return {"slide": str(path), "status": "failed", "reason": str(error)}
    tissue = tissue_of_plane(plane, settings)
    warn_of_problems(info, others=tissue.problems)
    mask, preview = _files(path, out)
    write_tissue(tissue, mask)
    write_preview(plane, tissue, preview)
    hint = "no tissue found; check the preview and set preprocessing.tissue in a recipe"
    return {
        "slide": str(path),
        "status": "ok",
        "reason": None if tissue.mask.any() else hint,
        "tissue_percent": round(100 * tissue.share, 3),
        "tissue_mm2": round(tissue.area_mm2, 4),
        "mask_mpp": round(plane.mpp, 4),
        "mask": str(mask),
        "preview": str(preview),
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("slide", "tissue, %", "mm2", "um/px", "mask or reason"):
        table.add_column(column, overflow="fold")
    for row in rows:
        numbers = ("", "", "")
        if row["status"] == "ok":
            numbers = (
                f"{row['tissue_percent']:.1f}",
                f"{row['tissue_mm2']:.2f}",
                f"{row['mask_mpp']:.3g}",
            )
        where = row["reason"] or row["mask"]
        table.add_row(Path(row["slide"]).name, *numbers, where)
    results().print(table)
