"""Sources that TensorFlow's threads read from; they keep their failure and end before Python."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from h2g.errors import H2GError

_sources: weakref.WeakSet[Source] = weakref.WeakSet()


class Source(ABC):
    """Reads numbered items; threads may share it.

    Attributes:
        failure: the error that ended the source. TensorFlow replaces it by its own exception;
            ``raising_failure`` raises the original.
    """

    def __init__(self) -> None:
        self.failure: H2GError | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._calls = self._under_way = 0
        _sources.add(self)

    @abstractmethod
    def read(self, number: int) -> Any:
        """Item ``number``."""

    def serve(self, number: int) -> Any:
        """Calls ``read`` for TensorFlow's threads."""
        return self.call(self.read, int(number))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function for TensorFlow's threads; a closed source makes their iterators fail."""
        with self._lock:
            self._calls += 1
            if self._closed:
                raise StopIteration  # the one exception that TensorFlow does not print
            self._under_way += 1
        try:
            return function(*arguments)
        except H2GError as error:
            with self._lock:
                self.failure = self.failure or error
            raise
        finally:
            with self._lock:
                self._under_way -= 1

    def close(self) -> None:
        """Rejects further calls and waits for running ones."""
        with self._lock:
            self._closed = True
        while self._under_way:
            time.sleep(0.005)

    @contextlib.contextmanager
    def raising_failure(self) -> Iterator[None]:
        """A context for fit or a loop that raises ``failure`` instead of TensorFlow's exception.

        It closes the source at the end. Otherwise an iterator that is freed later may wait for the
        very thread that frees it.
        """
        try:
            yield
        except Exception as error:
            if self.failure is None or error is self.failure:
                raise
            raise self.failure from error
        finally:
            self.close()


@atexit.register
def _close_sources() -> None:
    """Ends all reading before Python exits.

    An iterator that outlives the program's last line waits for its threads. These wait for Python,
    which runs no other thread by then. A training stopped by Ctrl-C would hang for ever.
    """
    sources = list(_sources)
    for source in sources:
        source.close()
    # Threads may still be entering a closed source; wait until none has called for a while.
    calls = None
    while calls != (calls := [source._calls for source in sources]):
        time.sleep(0.05)
