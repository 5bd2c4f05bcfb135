"""Repeats calls of FAST in Python, which crashes now and then; runPipeline never did."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeVar

Output = TypeVar("Output")

TRIES = 5
# Exit codes of a segmentation fault, of the process itself and through xvfb-run.
CRASHED = (-signal.SIGSEGV, 128 + signal.SIGSEGV)


def retry_crashes(run: Callable[[], tuple[int | None, Output]]) -> tuple[int | None, Output]:
    """Exit code and output of ``run``, from the first call that does not crash.

    After ``TRIES`` crashes, they are those of the last call.
    """
    for _ in range(TRIES):
        code, output = run()
        if code not in CRASHED:
            break
    return code, output
