"""Keeps the output of libraries off the terminal."""

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

# TensorFlow's log lines about CPU features, CUDA and GPUs. No setting stops all of them.
CHATTER = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:|WARNING: All log messages before absl|To enable the following"
    rb"|INFO: Created TensorFlow Lite"
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops the output of compiled code, prints, warnings and log lines below errors.

    Progress bars stay visible, because Python's own stderr still goes to the terminal.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    disabled = logging.root.manager.disable
    saved = [os.dup(number) for number in (1, 2)]
    with (
        open(os.devnull, "w") as null,
        os.fdopen(os.dup(2), "w", buffering=1) as terminal,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        for number in (1, 2):
            os.dup2(null.fileno(), number)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(terminal):
                yield
        finally:
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            logging.disable(disabled)


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Delays what the process writes to stderr, and drops TensorFlow's log lines from it."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            buffer.seek(0)
            os.write(2, b"".join(line for line in buffer if not CHATTER.match(line)))
