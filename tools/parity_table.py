"""Every engine and precision beside Keras on one slide (h2g.benchmarking.parity), as Markdown.

python tools/parity_table.py bundle --run run --slide slide.svs
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd

from h2g.benchmarking.parity import parity_table
from h2g.benchmarking.plan import DEVICES, ENGINES, PRECISIONS, Wanted
from h2g.errors import H2GError
from h2g.tables import markdown_table

NAMES = ("model", "engine", "device", "precision")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "models", nargs="+", type=Path, metavar="MODEL", help="a run and bundles of it"
    )
    parser.add_argument("--slide", required=True, type=Path)
    parser.add_argument("--mpp", type=float, help="um/px of level 0, in place of the slide's own")
    parser.add_argument("--engine", action="append", choices=ENGINES, default=[])
    parser.add_argument("--device", action="append", choices=DEVICES, default=[])
    parser.add_argument("--precision", action="append", choices=PRECISIONS, default=[])
    parser.add_argument("--csv", type=Path, help="also write the table here")
    parser.add_argument("--keep", type=Path, help="keep the prediction folders here")
    arguments = parser.parse_args()
    wanted = Wanted(
        models=tuple(arguments.models),
        engines=tuple(arguments.engine),
        devices=tuple(arguments.device),
        precisions=tuple(arguments.precision),
    )
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.keep or Path(temporary)
        table = parity_table(wanted, arguments.slide, arguments.mpp, out)
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)
    print("\n".join(markdown(table)))


def markdown(table: pd.DataFrame) -> list[str]:
    """The figures; what could not run stands below."""
    header = (*NAMES, "largest difference of the heatmap", "equal pixels", "Dice")
    rows = [
        [
            *(str(row[name]) for name in NAMES),
            f"{row['heatmap_difference']:.2e}",
            f"{100 * row['equal_pixels']:.4f} %",
            f"{row['dice']:.5f}",
        ]
        for row in table[table["reason"] == ""].to_dict("records")
    ]
    lines = [markdown_table(header, rows), ""]
    for row in table[table["reason"] != ""].to_dict("records"):
        lines.append(f"- {row['engine']} {row['device']} {row['precision']}: {row['reason']}")
    return lines


if __name__ == "__main__":
    try:
        main()
    except H2GError as error:
        sys.exit(f"parity_table: {error}")
