"""Work that a thread finishes behind its caller's back, in order, one piece at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Behind:
    """Runs what is handed over on a thread of its own; at most one piece waits or runs.

    An exception of a piece surfaces at the next hand-over or at the end. Whatever ends the block,
    the piece in hand is finished first.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def hand_over(self, work: Callable[[], None]) -> None:
        """Waits for the piece before, then starts this one."""
        self._wait()
        self._last = self._executor.submit(work)

    def __enter__(self) -> Behind:
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
