"""Work on background threads: bounded, in order and timed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")
Key = TypeVar("Key")

# Waits for a batch that was started, and returns the network's output.
Finish = Callable[[], np.ndarray]


class ReadAhead(Generic[Item, Result]):
    """Iterates over ``(item, function(item))`` in order; threads work ahead of the caller.

    Work starts at once. At most ``ahead`` results and the one in use exist at a time, so memory
    does not grow with the number of items. An exception in ``function`` is raised when its result
    is taken.
    """

    def __init__(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        threads: int,
        ahead: int,
        drop: Callable[[Result], None] | None = None,
    ) -> None:
        """
        Args:
            function: called by several threads at the same time.
            ahead: limit of results in progress or waiting; with more threads, some stay idle.
            drop: called with each result that was not taken when the iterator is closed.
        """
        self._function = function
        self._items = iter(items)
        self._drop = drop
        self._executor = ThreadPoolExecutor(threads)
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._lock = threading.Lock()
        self.seconds = 0.0  # spent in ``function``, summed over all threads
        for _ in range(ahead):
            self._submit_next()

    def __iter__(self) -> Iterator[tuple[Item, Result]]:
        while self._waiting:
            # Removed only after the wait, which Ctrl-C may interrupt.
            result = self._waiting[0][1].result()
            item, _ = self._waiting.popleft()
            self._submit_next()
            yield item, result

    def __enter__(self) -> ReadAhead[Item, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drops the waiting results; returns when every thread has finished its item."""
        self._executor.shutdown(cancel_futures=True)
        while self._waiting:
            _, future = self._waiting.popleft()
            if self._drop and not future.cancelled() and future.exception() is None:
                self._drop(future.result())

    def _submit_next(self) -> None:
        for item in self._items:
            self._waiting.append((item, self._executor.submit(self._timed, item)))
            return

    def _timed(self, item: Item) -> Result:
        start = time.perf_counter()
        try:
            return self._function(item)
        finally:
            with self._lock:
                self.seconds += time.perf_counter() - start


class WriteBehind:
    """Runs tasks in order on one background thread, one at a time.

    An exception in a task is raised by the next ``hand_over`` or at the end of the block. However
    the block ends, the running task is finished first.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def hand_over(self, work: Callable[[], None]) -> None:
        """Waits for the previous task, then starts ``work``."""
        self._wait()
        self._last = self._executor.submit(work)

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        if error is None:
            self._wait()

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()


def several_at_once(
    start: Callable[[Item], Finish], batches: Iterable[tuple[Key, Item]], *, ahead: int
) -> Generator[tuple[Key, np.ndarray], None, None]:
    """Runs several batches through a network at the same time; yields the results in order.

    However the generator ends, by an exception in ``batches`` or by closing, every started batch
    is finished first. Results that were not taken are dropped.

    Args:
        start: starts the network on a batch, and returns the function that waits for its result.
        ahead: batches in progress beyond the one that is waited for.
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
            # The first failure has been raised already.
            with contextlib.suppress(Exception):
                finish()


def _oldest(running: deque[tuple[Key, Finish]]) -> tuple[Key, np.ndarray]:
    key, finish = running[0]
    probabilities = finish()
    # Removed only after the wait, which Ctrl-C may interrupt.
    running.popleft()
    return key, probabilities


class Stopwatch:
    """Sums the wall seconds of the blocks it surrounds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = 0.0

    def __enter__(self) -> Stopwatch:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields the items and sums the seconds spent waiting for them."""
        iterator = iter(items)
        while True:
            with self:
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
