"""Runs the rows of a benchmark, each in its own process; finished rows are kept.

OUT: benchmark.json  benchmark.csv  benchmark.md  benchmark.png  rows/<engine>-...-<key>.json
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from h2g.benchmarking.child import run_module
from h2g.benchmarking.choose_rows import Wanted, choices, network_files
from h2g.benchmarking.report import write_report
from h2g.benchmarking.row import Choice, RowResult, RowSettings
from h2g.errors import SlideError
from h2g.files import write_text
from h2g.hardware import Hardware, this_hardware, versions
from h2g.progress import progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protocol:
    """How each row is timed.

    Attributes:
        mpp: um/px of level 0; None takes the slide's own.
        threads: number of threads that read patches.
        warm_ups: runs before the repeats; they are not counted.
    """

    slide: Path
    mpp: float | None
    threads: int
    batch_size: int
    repeats: int
    warm_ups: int


def run_benchmark(wanted: Wanted, protocol: Protocol, out: Path) -> list[RowResult]:
    """Times all rows, but keeps those with the same settings, machine and packages.

    The report is updated after every row.

    Raises:
        RunError, ModelError: a folder is not a model, or is not trained.
        SlideError: the slide does not exist.
    """
    hardware = this_hardware()
    rows = [row_settings(choice, protocol) for choice in choices(wanted, hardware)]
    results: list[RowResult] = []
    try:
        with progress("benchmark", len(rows)) as advance:
            for settings in rows:
                advance(0, note=settings.choice.label)
                results.append(_result(settings, hardware, out))
                write_report(results, out, chart=False)
                advance()
    finally:
        if results:
            write_report(results, out)
    return results


def row_settings(choice: Choice, protocol: Protocol) -> RowSettings:
    """The settings of one row.

    Raises:
        SlideError: the slide does not exist.
    """
    if not protocol.slide.is_file():
        raise SlideError(f"{protocol.slide}: no such file.")
    files = network_files(choice)
    # Two names may share one file.
    sizes = {file.sha256: file.size_bytes for file in files.values()}
    return RowSettings(
        choice=choice,
        model_sha256={name: file.sha256 for name, file in files.items()},
        model_mib=round(sum(sizes.values()) / 2**20, 2),
        slide_bytes=protocol.slide.stat().st_size,
        **vars(protocol),
    )


def _result(settings: RowSettings, hardware: Hardware, out: Path) -> RowResult:
    key = settings.key(hardware, versions())
    name = f"{settings.choice.label.replace(' ', '-')}-{key}"
    file = out / "rows" / f"{name}.json"
    earlier = _read_result(file)
    if earlier is not None:
        logger.info("%s: already timed; read from %s.", settings.choice.label, file)
        return earlier
    result = time_row(settings, out)
    if result.status == "ok":
        write_text(file, result.model_dump_json(indent=2) + "\n")
    else:
        logger.warning("%s: %s, %s", settings.choice.label, result.status, result.reason)
    return result


def time_row(settings: RowSettings, out: Path) -> RowResult:
    """Times one row in a new process; if the process crashes, the row is marked as failed.

    Args:
        out: the slide's outputs are written to this folder's disk and then removed.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".row-") as folder:
        child, result_file = run_module("h2g.benchmarking.time_row", settings, Path(folder))
        result = _read_result(result_file)
    if child.returncode == 0 and result is not None:
        return result
    reason = f"its process ended with {child.returncode}: {child.last_words}"
    return RowResult(settings=settings, status="failed", reason=reason)


def _read_result(file: Path) -> RowResult | None:
    try:
        return RowResult.model_validate_json(file.read_text("utf-8"))
    except (OSError, ValidationError):  # missing, or written by another version of h2g
        return None
