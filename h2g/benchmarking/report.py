"""The rows of a benchmark as JSON, CSV, Markdown (like the paper's table) and a bar chart."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from h2g.benchmarking.row import FINISHING, PREPARING, RowResult, mean, sd, seconds_text
from h2g.engines.specs import ENGINES
from h2g.files import write_text
from h2g.reporting.runtimes import TimedRow, draw_runtimes
from h2g.stages.chain import NETWORKS
from h2g.tables import markdown_table, write_csv

logger = logging.getLogger(__name__)

SD_DDOF = 1
NAMES = ("model", "engine", "device", "precision")


def write_report(rows: Sequence[RowResult], out: Path, *, chart: bool = True) -> None:
    """Writes benchmark.json, .csv and .md and, if matplotlib is installed, .png."""
    write_text(out / "benchmark.json", json.dumps(document(rows), indent=2) + "\n")
    write_csv(table(rows), out / "benchmark.csv", float_format="%.4f")
    write_text(out / "benchmark.md", "\n".join(markdown(rows)) + "\n")
    if not chart:
        return
    try:
        draw_runtimes(out / "benchmark.png", bars(rows))
    except ModuleNotFoundError:
        logger.warning("benchmark.png needs matplotlib: pip install 'h2g[train]'.")


def document(rows: Sequence[RowResult]) -> dict[str, Any]:
    """The document that ``h2g benchmark --json`` prints."""
    return {
        "slide": str(rows[0].settings.slide) if rows else None,
        "sd_ddof": SD_DDOF,
        "rows": [_entry(row) for row in rows],
    }


def table(rows: Sequence[RowResult]) -> pd.DataFrame:
    """One line per row; ``seconds_...`` are means, ``sd_...`` sample standard deviations."""
    lines = []
    for entry in document(rows)["rows"]:
        means = {f"seconds_{phase}": value for phase, value in entry.pop("mean_s").items()}
        sds = {f"sd_{phase}": value for phase, value in entry.pop("sd_s").items()}
        hardware, versions = entry.pop("hardware"), entry.pop("versions")
        entry.pop("each_s")
        entry["cpu"] = hardware["cpu"] if hardware else None
        entry["cores"] = hardware["cores"] if hardware else None
        entry["versions"] = "; ".join(f"{name} {version}" for name, version in versions.items())
        lines.append({**entry, **means, **sds})
    return pd.DataFrame(lines)


def markdown(rows: Sequence[RowResult]) -> Iterator[str]:
    """The lines of the report: first the paper's columns, then every phase."""
    done = [row for row in rows if row.status == "ok"]
    settings = rows[0].settings
    yield f"# Runtime on {settings.slide.name}"
    yield ""
    yield from _circumstances(rows, done)
    columns = [*NAMES, *paper_columns(done)]
    yield markdown_table(columns, [[*names_of(row), *paper_cells(row, done)] for row in done])
    yield ""
    yield (
        "Seconds are mean ± standard deviation (ddof 1) over repeats in one process, after a "
        "warm-up and with the engine open. Patch-wise includes tissue detection, reading, the "
        "patch network and stitching. Total excludes writing, as in Table 3 of the H2G-Net paper. "
        "Patches/s refer to the total with writing."
    )
    if any(ENGINES[row.settings.choice.engine].whole_slides for row in done):
        yield (
            "FAST runs in its own process for each repeat. Its total includes start-up, loading "
            "the networks and writing its own files."
        )
    yield ""
    yield from _phases(done)
    for row in rows:
        if row.status != "ok":
            yield f"- {' '.join(names_of(row))}: {row.status}, {row.reason}"


def paper_columns(rows: Sequence[RowResult]) -> list[str]:
    """Headings of the paper's columns, with one per network of whole slides."""
    return ["patch-wise", *_slide_networks(rows), "total", "total with writing", "patches/s"]


def paper_cells(row: RowResult, rows: Sequence[RowResult]) -> list[str]:
    """The cells of a row for :func:`paper_columns` of ``rows``."""
    patchwise, others = _patchwise(row), _slide_networks([row])
    groups = [patchwise, *((name,) for name in _slide_networks(rows)), (*patchwise, *others)]
    groups.append(("total",))
    per_s = row.patches_per_s
    return [seconds_text(row.each(*group)) for group in groups] + [f"{per_s:.1f}" if per_s else "–"]


def bars(rows: Sequence[RowResult]) -> list[TimedRow]:
    """One bar per row that ran; it has a single part if the engine reports only its total."""
    done = [row for row in rows if row.status == "ok"]
    names = [names_of(row) for row in done]
    labels = [f"{engine}, {device}\n{precision}" for _, engine, device, precision in names]
    if len(set(labels)) < len(labels):  # several bundles
        labels = [f"{name[0]}: {label}" for name, label in zip(names, labels, strict=True)]
    return [_bar(row, label) for row, label in zip(done, labels, strict=True)]


def _bar(row: RowResult, label: str) -> TimedRow:
    parts = {name: mean(row.each(*phases)) for name, phases in _bar_parts(row).items()}
    total = mean(row.each("total")) or 0.0
    known = {name: seconds for name, seconds in parts.items() if seconds is not None}
    whole = known if len(known) == len(parts) else {"whole process": total}
    return TimedRow(label, whole, total, sd(row.each("total")))


def _bar_parts(row: RowResult) -> dict[str, tuple[str, ...]]:
    """Phases of each part in running order; stitching, too short to see, joins the patches."""
    return {
        "tissue": ("tissue",),
        "waiting for patches": ("wait",),
        **{
            f"{name} network": (name, "stitch") if NETWORKS[name].many else (name,)
            for name in row.networks
        },
        "writing": ("write",),
    }


def _patchwise(row: RowResult) -> tuple[str, ...]:
    """The phases whose wall seconds add up to the heatmap."""
    patches = (name for name in row.networks if NETWORKS[name].many)
    return "tissue", "wait", *patches, "stitch"


def _slide_networks(rows: Sequence[RowResult]) -> list[str]:
    """The networks of all rows that run on a whole slide's image."""
    names = dict.fromkeys(name for row in rows for name in row.networks)
    return [name for name in names if not NETWORKS[name].many]


def _entry(row: RowResult) -> dict[str, Any]:
    return {
        "model": str(row.settings.choice.model),
        "engine": row.settings.choice.engine,
        "device": row.device or row.settings.choice.device,
        "precision": row.precision or row.settings.choice.precision,
        "asked_precision": row.settings.choice.precision,
        "status": row.status,
        "reason": row.reason,
        "repeats": row.settings.repeats,
        "patches": row.patches,
        "patches_per_s": row.patches_per_s,
        "mean_s": row.mean_s,
        "sd_s": row.sd_s,
        "each_s": [dict(repeat) for repeat in row.seconds],
        "open_s": row.open_s,
        "peak_memory_mib": row.peak_memory_mib,
        "model_mib": row.settings.model_mib,
        "threads": row.settings.threads,
        "batch_size": row.settings.batch_size,
        "hardware": row.hardware.model_dump(mode="json") if row.hardware else None,
        "versions": row.versions,
    }


def names_of(row: RowResult) -> list[str]:
    """The cells for NAMES, with the device and precision that the engine used."""
    entry = _entry(row)
    return [
        row.settings.choice.model.name,
        *(entry[key] for key in ("engine", "device", "precision")),
    ]


def _circumstances(rows: Sequence[RowResult], done: Sequence[RowResult]) -> Iterator[str]:
    """The settings and the machine, which all rows of a benchmark share."""
    settings = rows[0].settings
    patches = sorted({row.patches for row in done if row.patches})
    yield (
        f"{', '.join(str(count) for count in patches) or 'No'} patches; {settings.repeats} repeats "
        f"after {settings.warm_ups} warm-up; {settings.threads} reading threads; batches of "
        f"{settings.batch_size}."
    )
    if done and done[0].hardware:
        machine = done[0].hardware
        gpu = ", ".join(machine.gpu) or "no GPU"
        yield (
            f"{machine.cpu}, {machine.cores} cores ({' '.join(machine.instruction_sets)}), "
            f"{machine.memory_gib} GiB, {gpu}; {machine.system}."
        )
        yield "; ".join(f"{name} {version}" for name, version in done[0].versions.items()) + "."
    yield ""


def _phases(done: Sequence[RowResult]) -> Iterator[str]:
    names = {"read": "read (all threads)", "wait": "wait (for patches)"}
    networks = dict.fromkeys(name for row in done for name in row.networks)
    columns_of_time = [*PREPARING, *networks, *FINISHING]
    heads = [names.get(phase, phase) for phase in columns_of_time]
    columns = [*NAMES, *heads, "memory MiB", "model MiB"]
    yield markdown_table(columns, [_phase_cells(row, columns_of_time) for row in done])
    yield ""
    yield (
        "Total includes writing the files. Threads read while the network works; wait is the time "
        "that the network waited for them. Memory is the peak of the row's process."
    )
    yield ""


def _phase_cells(row: RowResult, phases: Sequence[str]) -> list[str]:
    seconds = [seconds_text(row.each(phase)) for phase in phases]
    return [*names_of(row), *seconds, row.peak_memory_text, f"{row.settings.model_mib:.1f}"]
