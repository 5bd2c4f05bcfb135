"""FAST for the tests that run it: skipped with the reason where it cannot be had, or failed with
H2G_REQUIRE_FAST=1."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from fast_crashes import retry_crashes

from h2g.engines.fast_process import failed_fasts, installed_fasts
from h2g.fast_versions import FAST_VERSIONS, FastName


def need_fast(name: FastName = "4.15") -> Path:
    """runPipeline of the tested version of a group; others treat slides alike, or nearly so."""
    runner, reason = _tested_fast(name)
    if runner is None:
        give_up(reason)
    return runner


def need_fast_python(name: FastName = "4.15") -> Path:
    """The Python of FAST's environment, which has ``fast`` and numpy."""
    # .../lib/python3.x/site-packages/fast/bin/runPipeline
    python = need_fast(name).parents[5] / "bin" / "python"
    if not python.is_file():
        give_up(f"no Python beside FAST ({python})")
    return python


def run_in_fast(
    script: Path, *arguments: str | Path, name: FastName = "4.15", display: bool = False
) -> str:
    """Runs a script with ``fast`` in a process of its own; gives what it printed."""
    command = [str(need_fast_python(name)), str(script), *map(str, arguments)]
    if display:
        xvfb = shutil.which("xvfb-run")
        if xvfb is None:
            give_up("no xvfb-run, which gives FAST a display")
        command = [xvfb, "-a", *command]

    def run() -> tuple[int, subprocess.CompletedProcess[str]]:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        return done.returncode, done

    _, done = retry_crashes(run)
    if "no Qt platform plugin could be initialized" in done.stderr + done.stdout:
        give_up("FAST finds no display; its Qt needs libxcb-icccm4 and libxcb-keysyms1")
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return done.stdout


def program(path: Path, *, says: str, code: int = 0) -> Path:
    """A program in place of FAST's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nprint({says!r})\nraise SystemExit({code})\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def give_up(reason: str) -> NoReturn:
    if os.environ.get("H2G_REQUIRE_FAST") == "1":
        pytest.fail(f"H2G_REQUIRE_FAST=1, but {reason}")
    pytest.skip(reason)


@functools.cache
def _tested_fast(name: FastName) -> tuple[Path | None, str]:
    wanted = FAST_VERSIONS[name].tested
    fasts = installed_fasts()
    for fast in fasts:
        if fast.version == wanted:
            return fast.runner, ""
    found = "; ".join([*map(str, fasts), *failed_fasts()]) or "none"
    return None, f"FAST {wanted} is not installed, 'make fast-environment' does; found: {found}"
