"""Status of the engines on this machine, each probed in its own process.

``python -m h2g.engines.status ENGINE`` prints one line of JSON. A library that crashes, hangs or
takes seconds to load does so in that process.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from h2g.engines.specs import ENGINES
from h2g.hardware import package_version

CHILD = ("-m", "h2g.engines.status")
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class EngineStatus:
    """Status of one engine on this machine.

    Attributes:
        versions: versions of the packages it runs with, by name.
        devices: description of each device by name, e.g. ``{"CPU": "AMD EPYC"}``.
        precisions: values of --precision, the default first.
        note: what to install, or why it failed.
    """

    engine: str
    status: Literal["ok", "missing", "failed"]
    versions: dict[str, str]
    devices: dict[str, str]
    precisions: tuple[str, ...]
    note: str = ""


def engine_statuses() -> list[EngineStatus]:
    """The status of every engine; all are probed at the same time."""
    with ThreadPoolExecutor(len(ENGINES)) as executor:
        return list(executor.map(engine_status, ENGINES))


def engine_status(
    engine: str, *, child: Sequence[str] = CHILD, timeout_s: float = TIMEOUT_S
) -> EngineStatus:
    """The status of one engine.

    Args:
        child: arguments of Python that probe an engine; its name is appended.
    """
    versions: dict[str, str] = {}
    for group in ENGINES[engine].packages:
        installed = {name: number for name in group if (number := package_version(name))}
        if not installed:
            return EngineStatus(engine, "missing", versions, {}, (), ENGINES[engine].install)
        versions |= installed
    command = [sys.executable, *child, engine]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        note = f"did not answer within {timeout_s:g} s"
        return EngineStatus(engine, "failed", versions, {}, (), note)
    try:
        answer = json.loads(process.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return EngineStatus(engine, "failed", versions, {}, (), _failure(process))
    return EngineStatus(
        engine,
        status=answer["status"],
        versions=versions | answer["versions"],
        devices=answer["devices"],
        precisions=tuple(answer["precisions"]),
        note=answer["note"],
    )


def _failure(process: subprocess.CompletedProcess[str]) -> str:
    if process.returncode < 0:
        return f"crashed with signal {-process.returncode} while loading"
    lines = process.stderr.strip().splitlines()
    return lines[-1].strip() if lines else f"ended with code {process.returncode}"


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(ENGINES[sys.argv[1]].library.probe())))
