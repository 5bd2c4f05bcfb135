"""Runs programs in child processes, and records their messages, time and memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from h2g.benchmarking.row import Choice, RowSettings
from h2g.hardware import process_peak_mib

# Length of the last stderr line that is kept as the reason of a failure.
REASON_LETTERS = 500
# Interval between measurements of a running process; measuring takes 0.2 % of a core.
ASK_EVERY_S = 0.02


class Cost:
    """CPU time and memory of a running process, measured in a thread.

    Attributes:
        cpu_s: CPU seconds of the process and its finished children.
        peak_mib: largest resident size of the process.
    """

    def __init__(self, pid: int) -> None:
        self.cpu_s = 0.0
        self.peak_mib = 0.0
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _ask(self) -> None:
        with contextlib.suppress(psutil.Error):  # it has ended
            process = psutil.Process(self._pid)
            while True:
                self.cpu_s = sum(process.cpu_times()[:4])
                self.peak_mib = max(self.peak_mib, process_peak_mib(process))
                if self._stopped.wait(ASK_EVERY_S):
                    return


@dataclass(frozen=True)
class Child:
    """A process that has ended.

    Attributes:
        wall_s: from its start to its end.
        cpu_s: CPU seconds of the process and, except on Windows, of its finished children.
        peak_mib: largest resident size of the process itself.
            Both miss the last ASK_EVERY_S of the process. No other way works on every system.
        heard_s: wall seconds until the awaited line; None if it never came.
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
        return lines[-1][-REASON_LETTERS:] if lines else "it printed nothing."


def run_module(module: str, settings: RowSettings, folder: Path) -> tuple[Child, Path]:
    """Runs ``python -m module SETTINGS RESULT``; also returns the result file in ``folder``."""
    settings_file, result_file = folder / "settings.json", folder / "result.json"
    settings_file.write_text(settings.model_dump_json(), "utf-8")
    command = [sys.executable, "-m", module, str(settings_file), str(result_file)]
    return run_child(command, device=settings.choice.device), result_file


def predict_command(choice: Choice, slide: Path, out: Path, **options: object) -> list[str]:
    """The command line of h2g predict, as a user would type it.

    Args:
        options: more options, e.g. ``batch_size=16``; None omits one.
    """
    given = {
        "engine": choice.engine,
        "device": choice.device,
        "precision": choice.precision,
        "patches": choice.patches,  # also "all", which a recipe's own choice would replace
    }
    command: list[object] = [Path(sys.executable).with_name("h2g"), "predict", choice.model, slide]
    for name, value in {"out": out, **given, **options}.items():
        if value is not None:
            command += [f"--{name.replace('_', '-')}", value]
    return [str(part) for part in command]


def run_child(command: Sequence[str], *, device: str, listen_for: str | None = None) -> Child:
    """Runs a program with captured stderr; ends it when this process is interrupted.

    Args:
        device: ``CPU`` hides GPUs, which TensorFlow would otherwise use.
        listen_for: text on stderr; the time of its first appearance is recorded.
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

    cost = Cost(process.pid)
    listener = threading.Thread(target=listen)
    listener.start()
    try:
        process.wait()
        wall_s = time.perf_counter() - start
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        cost.stop()
        listener.join()
    return Child(
        returncode=process.returncode,
        stderr="".join(lines),
        wall_s=wall_s,
        cpu_s=cost.cpu_s,
        peak_mib=cost.peak_mib,
        heard_s=heard[0] if heard else None,
    )
