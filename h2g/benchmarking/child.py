"""Programs of ours in processes of their own: what they say, take and cost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from h2g.benchmarking.memory import resident_mib
from h2g.benchmarking.rows import Choice, RowSettings

# Kept of what a process says on stderr before it dies.
REASON_LETTERS = 500


@dataclass(frozen=True)
class Child:
    """A process that has ended.

    Attributes:
        wall_s, cpu_s: of it and its children, from its start to its end.
        peak_mib: the largest resident size.
        heard_s: wall seconds until the line that was listened for, None when it never came.
    """

    returncode: int
    stderr: str
    wall_s: float
    cpu_s: float
    peak_mib: float
    heard_s: float | None

    @property
    def last_words(self) -> str:
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        return lines[-1][-REASON_LETTERS:] if lines else "it said nothing."


def run_module(module: str, settings: RowSettings, folder: Path) -> tuple[Child, Path]:
    """``python -m module SETTINGS RESULT``, and its result file in ``folder``."""
    settings_file, result_file = folder / "settings.json", folder / "result.json"
    settings_file.write_text(settings.model_dump_json(), "utf-8")
    command = [sys.executable, "-m", module, str(settings_file), str(result_file)]
    return run_child(command, device=settings.choice.device), result_file


def predict_command(choice: Choice, slide: Path, out: Path, **options: object) -> list[str]:
    """h2g predict as a user runs it.

    Args:
        options: of the command, e.g. ``batch_size=16``; those that are None are left out.
    """
    given = {"engine": choice.engine, "device": choice.device, "precision": choice.precision}
    command: list[object] = [Path(sys.executable).with_name("h2g"), "predict", choice.model, slide]
    for name, value in {"out": out, **given, **options}.items():
        if value is not None:
            command += [f"--{name.replace('_', '-')}", value]
    return [str(part) for part in command]


def run_child(command: Sequence[str], *, device: str, listen_for: str | None = None) -> Child:
    """Runs a program with its output held back; ends it when this process is interrupted.

    Args:
        device: ``CPU`` hides GPUs, which TensorFlow takes wherever it sees one.
        listen_for: text on stderr whose coming is timed.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if device == "CPU":
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )
    lines: list[str] = []
    heard: list[float] = []

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            if listen_for is not None and listen_for in line:
                heard.append(time.perf_counter() - start)
            lines.append(line)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        # Not Popen.wait: this tells what this one child cost.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        listener.join()
    return Child(
        returncode=process.returncode,
        stderr="".join(lines),
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mib=resident_mib(usage),
        heard_s=heard[0] if heard else None,
    )
