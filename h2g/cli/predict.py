"""h2g predict: segments slides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results
from h2g.engines.specs import DEVICES, ENGINES, PRECISIONS
from h2g.errors import H2GError

if TYPE_CHECKING:
    from h2g.folders.predictions import Row


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("slides", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for the predictions."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", *ENGINES]),
    default="auto",
    show_default=True,
    help="Engine that runs the networks; auto is keras for a run folder, and for a bundle the "
    "fastest that it has files for.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", *DEVICES]),
    default="auto",
    show_default=True,
    help="auto uses a GPU if keras or onnxruntime finds one.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="bfloat16 runs float32 files faster on recent CPUs (openvino); float16 and int8 have "
    "their own files in a bundle.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads that read patches.  [default: one per core]",
)
@click.option(
    "--mpp",
    type=click.FloatRange(min=0, min_open=True),
    help="um/px of level 0; overrides the slides' own.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Patches read together, and classified together by keras and on GPUs.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Only this split of the tables (CSV).",
)
@click.option(
    "--regions",
    metavar="FILE|FOLDER",
    type=click.Path(path_type=Path),
    help="Outlines inside which to predict (GeoJSON, XML or a mask): the file for one slide, or a "
    "folder with a file named after each slide.",
)
@click.option(
    "--patches",
    metavar="all|adaptive[:THRESHOLD[:DARKER]]",
    help="adaptive classifies only patches whose neighbours differ by more than THRESHOLD (0.3), "
    "and those whose red is DARKER (of 255) than their neighbours'; the others get their "
    "neighbours' mean. adaptive:0.1:4 misses hardly any lesion.  [default: what the recipe says, "
    "else all]",
)
@click.option(
    "--skip-damaged",
    is_flag=True,
    help="Take damaged tiles as missing (white), and say how many; else their slide fails.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the rows of summary.csv as JSON.")
@common
def command(
    model: Path,
    slides: tuple[Path, ...],
    out: Path,
    engine: str,
    device: str,
    precision: str,
    workers: int | None,
    mpp: float | None,
    batch_size: int,
    split: str | None,
    regions: Path | None,
    patches: str | None,
    skip_damaged: bool,
    as_json: bool,
) -> None:
    """Segment SLIDES with MODEL: a run folder, or a bundle, which needs no TensorFlow.

    SLIDES are slide files, folders to search for slides, and CSV tables with a column slide and
    optional columns mpp and split, such as a cohort table. In a folder, a slide is what OpenSlide
    opens; pictures and masks beside slides are left out.

    OUT gets summary.csv (one row per slide, with areas or the reason why it failed). Each slide
    gets a heatmap, a segmentation (pyramidal TIFF), GeoJSON for QuPath, a table of patches and an
    overlay. After an interruption, run the command again: finished slides are skipped.

    \b
    Examples:
      h2g predict run slide.svs --out predictions
      h2g predict run cohort/cohort.csv --split test --out predictions
      h2g predict bundle slides --out predictions
      h2g predict bundle slides --patches adaptive --out predictions
      h2g predict bundle slide.svs --regions slide.geojson --out predictions
      h2g predict bundle slide.svs --engine openvino --precision bfloat16 --out predictions
    """
    from h2g.prediction.model import load_model
    from h2g.prediction.region_files import with_regions
    from h2g.slides.find_slides import find_slides
    from h2g.texts import first_few

    loaded = load_model(
        model,
        engine=engine,
        device=device,
        precision=precision,
        threads=workers,
        batch_size=batch_size,
        patches=patches,
    )
    requests = find_slides(slides, mpp=mpp, split=split, apart_from=out)
    if regions is not None:
        requests = with_regions(requests, regions)
    summary = loaded.predict_slides(requests, out, skip_damaged=skip_damaged)
    if as_json:
        print_json(summary)
    else:
        _print_table(summary, out)
    requested = {request.name for request in requests}
    failed = [
        row["slide"] for row in summary if row["slide"] in requested and row["status"] != "ok"
    ]
    if failed:
        raise H2GError(
            f"{len(failed)} of {len(requests)} slides could not be segmented "
            f"({first_few(failed)}); see "
            f"{out / 'summary.csv'}."
        )


def _print_table(summary: list[Row], out: Path) -> None:
    from rich.table import Table

    table = Table(title=str(out))
    table.add_column("slide", overflow="fold")
    table.add_column("status")
    for heading in ("tissue mm2", "tumour mm2", "tumour %", "patches", "seconds"):
        table.add_column(heading, justify="right")
    for row in summary:
        numbers = (
            [
                f"{row['tissue_mm2']:.2f}",
                f"{row['tumour_mm2']:.2f}",
                f"{row['tumour_percent']:.1f}",
                str(row["patches"]),
                f"{row['seconds_total']:.1f}",
            ]
            if row["status"] == "ok"
            else []
        )
        table.add_row(row["slide"], row["status"], *numbers)
    results().print(table)
