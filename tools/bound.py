"""Compares `h2g predict` with the lower bound of its engine here (h2g.benchmarking.bound).

With --patches adaptive, the bound is that of the patches that are classified.

Use a slide with at least 5,000 patches of tissue. With --fast, FAST segments the same slide in the
same run, for comparison.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from h2g.benchmarking.benchmark import Protocol
from h2g.benchmarking.bound import measure
from h2g.benchmarking.row import Choice
from h2g.errors import H2GError
from h2g.hardware import usable_cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="run folder or bundle")
    parser.add_argument("slide", type=Path)
    parser.add_argument("--engine", default="keras", help="default: keras, for a run folder")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--patches", default="all", help="as h2g predict --patches")
    parser.add_argument("--mpp", type=float, help="um/px of level 0, replaces the slide's own")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, help="reading threads; default: one per core")
    parser.add_argument("--fast", type=Path, metavar="BUNDLE", help="bundle with the format fast")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    choice = Choice(
        model=arguments.model,
        engine=arguments.engine,
        device="CPU",
        precision=arguments.precision,
        patches=arguments.patches,
    )
    protocol = Protocol(
        slide=arguments.slide,
        mpp=arguments.mpp,
        threads=arguments.workers or usable_cores(),
        batch_size=arguments.batch_size,
        repeats=1,
        warm_ups=0,
    )
    bound = asdict(measure(choice, protocol, fast=arguments.fast))
    result = {name: round(v, 3) if isinstance(v, float) else v for name, v in bound.items()}
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        print(f"{name:24}{'-' if value is None else value:>12}")


if __name__ == "__main__":
    try:
        main()
    except H2GError as error:
        sys.exit(f"bound: {error}")
