"""Work done by threads ahead of its use, in order, with a bound on how much lies waiting."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ahead(Generic[Item, Result]):
    """Iterates over ``(item, function(item))``; work starts at once, before the first is asked for.

    Only the results that lie waiting and the one in use exist at a time, so memory does not grow
    with the number of items. An exception of ``function`` surfaces where its result is asked for.
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
            function: called by several threads at once.
            ahead: results that are made or lie waiting at most; threads beyond it idle.
            drop: called on closing with each result that nobody took.
        """
        self._function = function
        self._items = iter(items)
        self._drop = drop
        self._executor = ThreadPoolExecutor(threads)
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._lock = threading.Lock()
        self.seconds = 0.0  # spent in ``function``, all threads added up
        for _ in range(ahead):
            self._submit_next()

    def __iter__(self) -> Iterator[tuple[Item, Result]]:
        while self._waiting:
            # Taken off only when it is there: Ctrl-C comes while this waits.
            result = self._waiting[0][1].result()
            item, _ = self._waiting.popleft()
            self._submit_next()
            yield item, result

    def __enter__(self) -> Ahead[Item, Result]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drops what waits; returns when the threads are done with what each has in hand."""
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
