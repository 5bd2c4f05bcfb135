"""Several batches in a network at a time, with a bound on how many."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable

import numpy as np

from h2g.inference.engine import Key

# Waits until a batch that was started is through the network.
Finish = Callable[[], np.ndarray]


def several_at_once(
    start: Callable[[np.ndarray], Finish], batches: Iterable[tuple[Key, np.ndarray]], *, ahead: int
) -> Generator[tuple[Key, np.ndarray], None, None]:
    """``classify_each`` of an engine that runs several batches at once; in order.

    However this ends, also by an exception of ``batches`` or by closing, every batch that was
    started has been finished by then; what nobody took is dropped.

    Args:
        start: puts a batch into the network.
        ahead: batches that are started beyond the one that is waited for.
    """
    running: deque[tuple[Key, Finish]] = deque()
    try:
        for key, patches in batches:
            running.append((key, start(patches)))
            if len(running) > ahead:
                yield _oldest(running)
        while running:
            yield _oldest(running)
    finally:
        for _, finish in running:
            # The first failure is on its way already.
            with contextlib.suppress(Exception):
                finish()


def _oldest(running: deque[tuple[Key, Finish]]) -> tuple[Key, np.ndarray]:
    key, finish = running[0]
    probabilities = finish()
    # Taken off only now: Ctrl-C comes while this waits.
    running.popleft()
    return key, probabilities
