"""A benchmark's rows as JSON, CSV, Markdown in the paper's form, and a bar chart."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from h2g.benchmarking.row import FINISHING, PREPARING, RowResult, mean, sd, seconds_text
from h2g.engines.specs import ENGINES
from h2g.files import replacing, write_text
from h2g.reporting.runtimes import TimedRow, draw_runtimes
from h2g.stages.chain import NETWORKS
from h2g.tables import markdown_table

logger = logging.getLogger(__name__)

SD_DDOF = 1
NAMES = ("model", "engine", "device", "precision")


def write_report(rows: Sequence[RowResult], out: Path, *, chart: bool = True) -> None:
    """Writes benchmark.json, .csv and .md and, where matplotlib is installed, .png."""
    write_text(out / "benchmark.json", json.dumps(document(rows), indent=2) + "\n")
    with replacing(out / "benchmark.csv") as temporary:
        table(rows).to_csv(temporary, index=False, float_format="%.4f")
    write_text(out / "benchmark.md", "\n".join(markdown(rows)) + "\n")
    if not chart:
        return
    try:
        draw_runtimes(out / "benchmark.png", bars(rows))
    except ModuleNotFoundError:
        logger.warning("No benchmark.png without matplotlib: pip install 'h2g[train]'.")


def document(rows: Sequence[RowResult]) -> dict[str, Any]:
    """What ``h2g benchmark --json`` prints."""
    return {
        "slide": str(rows[0].settings.slide) if rows else None,
        "sd_ddof": SD_DDOF,
        "rows": [_entry(row) for row in rows],
    }


def table(rows: Sequence[RowResult]) -> pd.DataFrame:
    """A line a row; seconds are means and, as ``sd_...``, sample standard deviations."""
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
    """The paper's columns first (patch-wise + refinement = total), then every phase."""
    done = [row for row in rows if row.status == "ok"]
    settings = rows[0].settings
    yield f"# Runtime on {settings.slide.name}"
    yield ""
    yield from _circumstances(rows, done)
    columns = [*NAMES, *paper_columns(done)]
    yield markdown_table(columns, [[*names_of(row), *paper_cells(row, done)] for row in done])
    yield ""
    yield (
        "Seconds, mean ± standard deviation (ddof 1) over repeats in one process after a warm-up, "
        "the engine open. Patch-wise is tissue detection, reading, the patch network and "
        "stitching; total is without writing, as in the H2G-Net paper's Table 3. Patches/s are of "
        "the total with writing."
    )
    if any(ENGINES[row.settings.choice.engine].whole_slides for row in done):
        yield (
            "FAST is a process of its own for each repeat: its total has its start, loading the "
            "networks and writing its own files."
        )
    yield ""
    yield from _phases(done)
    for row in rows:
        if row.status != "ok":
            yield f"- {' '.join(names_of(row))}: {row.status}, {row.reason}"


def paper_columns(rows: Sequence[RowResult]) -> list[str]:
    """Patch-wise, each network of whole slides, their total, the total with writing, patches/s."""
    return ["patch-wise", *_slide_networks(rows), "total", "total with writing", "patches/s"]


def paper_cells(row: RowResult, rows: Sequence[RowResult]) -> list[str]:
    """A row's cells below :func:`paper_columns` of ``rows``."""
    patchwise, others = _patchwise(row), _slide_networks([row])
    groups = [patchwise, *((name,) for name in _slide_networks(rows)), (*patchwise, *others)]
    groups.append(("total",))
    per_s = row.patches_per_s
    return [seconds_text(row.each(*group)) for group in groups] + [f"{per_s:.1f}" if per_s else "–"]


def bars(rows: Sequence[RowResult]) -> list[TimedRow]:
    """The rows that ran; one part where the engine tells only its total."""
    done = [row for row in rows if row.status == "ok"]
    names = [names_of(row) for row in done]
    labels = [f"{engine}, {device}\n{precision}" for _, engine, device, precision in names]
    if len(set(labels)) < len(labels):  # of several bundles
        labels = [f"{name[0]}: {label}" for name, label in zip(names, labels, strict=True)]
    return [_bar(row, label) for row, label in zip(done, labels, strict=True)]


def _bar(row: RowResult, label: str) -> TimedRow:
    parts = {name: mean(row.each(*phases)) for name, phases in _bar_parts(row).items()}
    total = mean(row.each("total")) or 0.0
    known = {name: seconds for name, seconds in parts.items() if seconds is not None}
    whole = known if len(known) == len(parts) else {"whole process": total}
    return TimedRow(label, whole, total, sd(row.each("total")))


def _bar_parts(row: RowResult) -> dict[str, tuple[str, ...]]:
    """In the order of the work; stitching, too short to be seen, goes with the patches' network."""
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
    """The wall seconds that sum up to the heatmap."""
    patches = (name for name in row.networks if NETWORKS[name].many)
    return "tissue", "wait", *patches, "stitch"


def _slide_networks(rows: Sequence[RowResult]) -> list[str]:
    """The networks that see a slide's picture, of all rows."""
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
    """By NAMES; what the engine really used, where it ran."""
    entry = _entry(row)
    return [
        row.settings.choice.model.name,
        *(entry[key] for key in ("engine", "device", "precision")),
    ]


def _circumstances(rows: Sequence[RowResult], done: Sequence[RowResult]) -> Iterator[str]:
    """On what, with what and how often; rows of one benchmark share it."""
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
        "Total includes writing the files. Reading goes on in threads while the network "
        "works; waiting is the part of it that shows. Memory is the peak of the row's process."
    )
    yield ""


def _phase_cells(row: RowResult, phases: Sequence[str]) -> list[str]:
    seconds = [seconds_text(row.each(phase)) for phase in phases]
    return [*names_of(row), *seconds, row.peak_memory_text, f"{row.settings.model_mib:.1f}"]
