"""FAST in Python crashes now and then; runPipeline was never seen to. A crash is tried again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeVar

Said = TypeVar("Said")

TRIES = 5
# A segmentation fault, of the process itself and through xvfb-run.
CRASHED = (-signal.SIGSEGV, 128 + signal.SIGSEGV)


def retry_crashes(run: Callable[[], tuple[int | None, Said]]) -> tuple[int | None, Said]:
    """What ``run`` gives, an exit code and what was said, when it first does not crash, or at the
    last of ``TRIES``."""
    for _ in range(TRIES):
        code, said = run()
        if code not in CRASHED:
            break
    return code, said
