"""Which engines work here, on what: each asked in a process of its own.

python -m h2g.inference.engine_status ENGINE prints one line of JSON. A library that crashes, hangs
or takes seconds to load does so there.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from h2g.errors import WrongUseError
from h2g.fast_versions import FAST_VERSIONS
from h2g.hardware import package_version

CHILD = ("-m", "h2g.inference.engine_status")
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class EngineStatus:
    """
    Attributes:
        versions: of the packages that it runs with.
        devices: name and description, e.g. ``{"CPU": "AMD EPYC"}``.
        precisions: of --precision, the default first.
        note: what to install, or why it failed.
    """

    engine: str
    status: Literal["ok", "missing", "failed"]
    versions: dict[str, str]
    devices: dict[str, str]
    precisions: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Probe:
    """
    Attributes:
        packages: of which the first that is installed counts, group by group.
        install: what makes it work where it is missing.
        look: in a process of its own, fields of EngineStatus.
    """

    packages: tuple[tuple[str, ...], ...]
    install: str
    look: Callable[[], dict[str, Any]]


def engine_statuses() -> list[EngineStatus]:
    """Of all engines, asked at the same time."""
    with ThreadPoolExecutor(len(PROBES)) as executor:
        return list(executor.map(engine_status, PROBES))


def engine_status(
    engine: str, *, child: Sequence[str] = CHILD, timeout_s: float = TIMEOUT_S
) -> EngineStatus:
    """
    Args:
        child: what Python runs, with the engine's name, to look.
    """
    probe = PROBES[engine]
    versions: dict[str, str] = {}
    for group in probe.packages:
        found = {name: number for name in group if (number := package_version(name))}
        if not found:
            return EngineStatus(engine, "missing", versions, {}, (), probe.install)
        versions |= found
    command = [sys.executable, *child, engine]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        note = f"did not answer within {timeout_s:g} s"
        return EngineStatus(engine, "failed", versions, {}, (), note)
    try:
        answer = json.loads(ended.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return EngineStatus(engine, "failed", versions, {}, (), _why(ended))
    return EngineStatus(
        engine,
        status=answer.get("status", "ok"),
        versions=versions | answer.get("versions", {}),
        devices=answer.get("devices", {}),
        precisions=tuple(answer.get("precisions", ())),
        note=answer.get("note", ""),
    )


def _why(ended: subprocess.CompletedProcess[str]) -> str:
    if ended.returncode < 0:
        return f"crashed with signal {-ended.returncode} while loading"
    lines = ended.stderr.strip().splitlines()
    return lines[-1].strip() if lines else f"ended with {ended.returncode}"


def _look_at_keras() -> dict[str, Any]:
    from h2g.models.startup import start_keras

    start_keras()
    from h2g.inference.keras_engine import found_devices

    return {"devices": found_devices(), "precisions": ["float32"]}


def _look_at_onnxruntime() -> dict[str, Any]:
    from h2g.inference.onnx_engine import found_devices

    note = "GPUs of NVIDIA: pip install onnxruntime-gpu in place of onnxruntime"
    devices = found_devices()
    return {
        "devices": devices,
        "precisions": ["float32", "int8"],
        "note": note if "GPU" not in devices else "",
    }


def _look_at_openvino() -> dict[str, Any]:
    from h2g.inference.openvino_engine import found_devices, has_bfloat16

    bfloat16 = ["bfloat16"] if has_bfloat16("CPU") else []
    precisions = ["float32", *bfloat16, "float16", "int8"]
    return {"devices": found_devices(), "precisions": precisions}


def _look_at_tflite() -> dict[str, Any]:
    from h2g.inference import tflite_engine  # noqa: F401  that it loads is the answer

    precisions = ["float32", "float16", "int8"]
    return {"devices": {"CPU": ""}, "precisions": precisions}


def _look_at_fast() -> dict[str, Any]:
    from h2g.inference.fast_process import VARIABLE, failed_fasts, install_command, installed_fasts

    found = [*map(str, installed_fasts()), *failed_fasts()]
    if not found:
        commands = [install_command(group.tested) for group in FAST_VERSIONS.values()]
        return {"status": "missing", "note": "\n".join(commands)}
    if os.environ.get(VARIABLE):
        found.insert(0, f"${VARIABLE} is set, so only the FAST that it names is used.")
    numbers = _fasts_that_run_bundles()
    if not numbers:
        return {"status": "failed", "note": "\n".join(found)}
    return {
        "versions": {"FAST": ", ".join(numbers)},
        "devices": {"CPU": ""},
        "precisions": ["float32"],
        "note": "\n".join(found),
    }


def _fasts_that_run_bundles() -> list[str]:
    """The version for each group that has one, e.g. 4.9.2 and 4.15.1."""
    from h2g.inference.fast_process import need_fast

    numbers = []
    for group in FAST_VERSIONS.values():
        with contextlib.suppress(WrongUseError):
            numbers.append(need_fast(group).version)
    return numbers


PROBES: dict[str, Probe] = {
    "keras": Probe(
        packages=(("keras",), ("tensorflow", "tensorflow-cpu")),
        install="pip install 'h2g[train]'",
        look=_look_at_keras,
    ),
    "onnxruntime": Probe(
        packages=(("onnxruntime", "onnxruntime-gpu"),),
        install="pip install onnxruntime",
        look=_look_at_onnxruntime,
    ),
    "openvino": Probe(
        packages=(("openvino",),), install="pip install openvino", look=_look_at_openvino
    ),
    "tflite": Probe(
        packages=(("ai-edge-litert",),),
        install="pip install 'h2g[tflite]'",
        look=_look_at_tflite,
    ),
    # Programs, found by their paths.
    "fast": Probe(packages=(), install="", look=_look_at_fast),
}


if __name__ == "__main__":
    print(json.dumps(PROBES[sys.argv[1]].look()))
