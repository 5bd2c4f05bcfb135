"""Keras without the page of notes that its backend writes on stderr."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# TensorFlow's log lines, some of which no setting stops: CPU features, no CUDA, no GPU found.
CHATTER = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:|WARNING: All log messages before absl|To enable the following"
    rb"|INFO: Created TensorFlow Lite"
)


def start_keras() -> None:
    """Imports Keras and its backend and finds the devices; call it before anything that does.

    Raises:
        ModuleNotFoundError: Keras or its backend is not installed.
    """
    with without_chatter():
        import keras

        keras.ops.zeros(1)  # the first tensor looks for GPUs


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
