"""h2g parity: compares every engine and precision with Keras on one slide."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results
from h2g.engines.specs import DEVICES, ENGINES, PRECISIONS
from h2g.errors import H2GError

if TYPE_CHECKING:
    import pandas as pd


@click.command("parity")
@click.argument(
    "models", metavar="MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--slide", required=True, type=click.Path(path_type=Path), help="Slide to segment.")
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
@click.option(
    "--mpp",
    type=click.FloatRange(min=0, min_open=True),
    help="um/px of level 0; overrides the slide's own.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for parity.csv, parity.md and the predictions.  [default: no files are kept]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(
    models: tuple[Path, ...],
    slide: Path,
    engines: tuple[str, ...],
    devices: tuple[str, ...],
    precisions: tuple[str, ...],
    mpp: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare every engine and precision with Keras on one slide.

    Give the run folder, which Keras predicts in float32, and the bundles that were exported from
    it. Each row is one prediction. It gives the largest difference of a probability in the heatmap,
    the share of the segmentation's pixels with the same label, and Dice of tumour. A prediction
    that cannot run here gets a row with the reason.

    \b
    Examples:
      h2g parity run bundle --slide slide.svs
      h2g parity run bundle --slide slide.svs --engine openvino --precision int8 --out parity
    """
    from h2g.benchmarking.choose_rows import Wanted
    from h2g.benchmarking.parity import parity_table, write_parity

    wanted = Wanted(models, engines, devices, precisions)
    with tempfile.TemporaryDirectory() as temporary:
        table = parity_table(wanted, slide, mpp, out or Path(temporary))
    if out is not None:
        write_parity(table, out)
    if as_json:
        rows = json.loads(table.to_json(orient="records", double_precision=15))
        print_json({"slide": str(slide), "rows": rows})
    else:
        _print(table, slide)
    if not table["reason"].eq("").any():
        raise H2GError("Nothing could be compared with Keras; each row gives its reason.")


def _print(table: pd.DataFrame, slide: Path) -> None:
    from rich.table import Table

    from h2g.benchmarking.parity import NAMES, figure_cells

    rows = Table(title=f"{slide.name}: compared with Keras, float32")
    for heading in NAMES:
        rows.add_column(heading, overflow="fold")
    for heading in ("heatmap, largest difference", "equal pixels", "Dice"):
        rows.add_column(heading, justify="right")
    for row in table.to_dict("records"):
        rows.add_row(*(str(row[name]) for name in NAMES), *figure_cells(row))
    console = results()
    console.print(rows)
    for row in table[table["reason"] != ""].to_dict("records"):
        console.print(f"{row['engine']} {row['device']} {row['precision']}: {row['reason']}")
