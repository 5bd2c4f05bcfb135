"""Keeps off the terminal what libraries print, whichever way they do it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator

# TensorFlow's log lines, some of which no setting stops: CPU features, no CUDA, no GPU found.
CHATTER = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:|WARNING: All log messages before absl|To enable the following"
    rb"|INFO: Created TensorFlow Lite"
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops what compiled code writes, prints, warnings and log lines below errors.

    Progress bars that are on the terminal go on: Python's own stderr stays.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    disabled = logging.root.manager.disable
    kept = [os.dup(number) for number in (1, 2)]
    with (
        open(os.devnull, "w") as nowhere,
        os.fdopen(os.dup(2), "w", buffering=1) as terminal,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(terminal):
                yield
        finally:
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            logging.disable(disabled)


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Holds back what the process writes to stderr and hands on all of it but chatter."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not CHATTER.match(line)))
