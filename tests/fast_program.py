"""FAST for the tests that run it: skipped with the reason where it cannot be had, or failed with
H2G_REQUIRE_FAST=1."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from h2g.errors import WrongUseError
from h2g.inference.fast_process import fast_version, find_fast

# What these tests hold to; another version chooses other patches.
VERSION = "4.15.1"
# A segmentation fault, of the process itself and through xvfb-run.
CRASHED = (-signal.SIGSEGV, 128 + signal.SIGSEGV)


def need_fast() -> Path:
    """FAST's runPipeline."""
    runner, reason = _fast()
    if runner is None:
        give_up(reason)
    return runner


def need_fast_python() -> Path:
    """The Python of FAST's environment, which has ``fast`` and numpy."""
    # .../lib/python3.x/site-packages/fast/bin/runPipeline
    python = need_fast().parents[5] / "bin" / "python"
    if not python.is_file():
        give_up(f"no Python beside FAST ({python})")
    return python


def run_in_fast(script: Path, *arguments: str | Path, display: bool = False) -> str:
    """Runs a script with ``fast`` in a process of its own; gives what it printed."""
    command = [str(need_fast_python()), str(script), *map(str, arguments)]
    if display:
        xvfb = shutil.which("xvfb-run")
        if xvfb is None:
            give_up("no xvfb-run, which gives FAST a display")
        command = [xvfb, "-a", *command]
    # FAST crashes now and then when Python pulls its streams; runPipeline was never seen to.
    for _ in range(5):
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        if done.returncode not in CRASHED:
            break
    if "no Qt platform plugin could be initialized" in done.stderr + done.stdout:
        give_up("FAST finds no display; its Qt needs libxcb-icccm4 and libxcb-keysyms1")
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return done.stdout


def give_up(reason: str) -> NoReturn:
    if os.environ.get("H2G_REQUIRE_FAST") == "1":
        pytest.fail(f"H2G_REQUIRE_FAST=1, but {reason}")
    pytest.skip(reason)


@functools.cache
def _fast() -> tuple[Path | None, str]:
    try:
        runner, version = find_fast(), fast_version()
    except WrongUseError as error:
        return None, str(error)
    if runner is None:
        return None, "FAST is not installed; 'make fast-environment' does"
    if version != VERSION:
        return None, f"FAST {version} is here, and the tests are for {VERSION}"
    return runner, ""
