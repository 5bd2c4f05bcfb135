"""h2g doctor: which engines and devices work here."""

from __future__ import annotations

import importlib.util
import platform
from typing import Any

import click

from h2g import __version__
from h2g.cli.main import EXTRA_OF_PACKAGE
from h2g.cli.options import common
from h2g.cli.output import print_json, results


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(as_json: bool) -> None:
    """Report which engines and devices work here, and what to install for the others.

    Every engine is loaded in its own process. An engine that crashes gets a row with the reason.

    \b
    Examples:
      h2g doctor
      h2g doctor --json
    """
    report = _report()
    if as_json:
        print_json(report)
    else:
        _print_tables(report)


def _report() -> dict[str, Any]:
    from h2g.engines.status import engine_statuses
    from h2g.hardware import this_hardware

    hardware = this_hardware()
    return {
        "h2g": __version__,
        "python": platform.python_version(),
        "system": hardware.system,
        "cpu": hardware.cpu,
        "cores": hardware.cores,
        "instruction_sets": hardware.instruction_sets,
        "memory_gib": hardware.memory_gib,
        "gpus": hardware.gpu,
        "openslide": _openslide(),
        "extras": _extras(),
        "engines": [vars(status) for status in engine_statuses()],
    }


def _openslide() -> str:
    """OpenSlide's version, or the reason why it does not load."""
    try:
        import openslide
    except (ImportError, OSError) as error:
        return f"does not load ({error}); pip install openslide-python openslide-bin"
    return openslide.__library_version__


def _extras() -> dict[str, bool]:
    """Whether all packages of each extra are installed."""
    extras: dict[str, bool] = {}
    for package, extra in EXTRA_OF_PACKAGE.items():
        installed = importlib.util.find_spec(package) is not None
        extras[extra] = extras.get(extra, True) and installed
    return extras


def _print_tables(report: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    machine = Table(box=box.SIMPLE_HEAD, show_header=False)
    for name, value in _machine_lines(report):
        machine.add_row(name, value)
    results().print(machine)
    engines = Table("engine", "status", "version", "devices", "precisions, default first")
    engines.add_column("note", overflow="fold")
    for row in report["engines"]:
        engines.add_row(
            row["engine"],
            row["status"],
            "\n".join(f"{name} {number}" for name, number in row["versions"].items()),
            "\n".join(f"{name} {text}".strip() for name, text in row["devices"].items()),
            ", ".join(row["precisions"]),
            row["note"],
        )
    results().print(engines)


def _machine_lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    extras = [
        name if installed else f"{name} (not installed)"
        for name, installed in report["extras"].items()
    ]
    return [
        ("h2g", f"{report['h2g']}, Python {report['python']}, {report['system']}"),
        ("CPU", f"{report['cpu']}, {report['cores']} cores"),
        ("instruction sets", ", ".join(report["instruction_sets"]) or "unknown"),
        ("GPU", ", ".join(report["gpus"]) or "none by NVIDIA"),
        ("OpenSlide", report["openslide"]),
        ("extras", ", ".join(extras)),
    ]
