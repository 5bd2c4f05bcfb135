"""Prints h2g's run times below the H2G-Net paper's Table 3 (Pedersen et al. 2022), as Markdown.

    h2g benchmark run bundle --slide slide.svs --out benchmark
    python tools/paper_table3.py benchmark

Machines and slides differ, and the paper's slide is not public. Compare engines only within the
rows of one machine.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from h2g.benchmarking.row import seconds_text, sum_phases
from h2g.tables import markdown_table

# Phases whose wall seconds add up to the heatmap.
PATCHWISE = ("tissue", "wait", "patch", "stitch")
PAPER = (
    ("OpenVINO", "57.32 ± 0.20", "0.75 ± 0.01", "58.07 ± 0.20"),
    ("TensorRT, GPU", "39.88 ± 0.62", "0.38 ± 0.00", "40.26 ± 0.62"),
)
PAPER_HARDWARE = (
    "Intel Xeon Silver, 32 cores, 2.10 GHz, NVIDIA Quadro P5000; one slide at 40x, ten repeats"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", type=Path, help="folder that 'h2g benchmark' wrote")
    arguments = parser.parse_args()
    file = arguments.benchmark / "benchmark.json"
    if not file.is_file():
        sys.exit(f"{file}: no such file. Run 'h2g benchmark' to write it.")
    document = json.loads(file.read_text("utf-8"))
    print("\n".join(table3(document)))


def table3(document: dict[str, Any]) -> Iterator[str]:
    """The paper's rows, then h2g's, both without the time for writing files."""
    rows = [row for row in document["rows"] if row["status"] == "ok"]
    cells = [["paper", *row] for row in PAPER]
    for row in rows:
        parts = [PATCHWISE, ("refinement",), (*PATCHWISE, "refinement")]
        sums = [sum_phases(row["each_s"], *phases) for phases in parts]
        # An engine that reports only its total includes writing.
        sums[2] = sums[2] or sum_phases(row["each_s"], "total")
        name = f"{row['engine']}, {row['device']}, {row['precision']}"
        cells.append(["h2g", name, *(seconds_text(each) for each in sums)])
    yield markdown_table(["", "engine", "patch-wise", "refinement", "total"], cells)
    yield ""
    yield f"Seconds, mean ± standard deviation. Paper: {PAPER_HARDWARE}."
    for place in dict.fromkeys(_place(row) for row in rows):
        yield f"h2g: {place}; {Path(document['slide']).name}."


def _place(row: dict[str, Any]) -> str:
    machine = row["hardware"]
    gpu = f", {', '.join(machine['gpu'])}" if machine["gpu"] else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores{gpu}; {row['patches']} patches, "
        f"{row['repeats']} repeats"
    )


if __name__ == "__main__":
    main()
