"""Start of Keras without the page of notes that its backend writes to stderr."""

from __future__ import annotations

from h2g.quiet import without_chatter


def start_keras() -> None:
    """Imports Keras and its backend and finds the devices; call it before any other import of them.

    Raises:
        ModuleNotFoundError: Keras or its backend is not installed.
    """
    with without_chatter():
        import keras

        keras.ops.zeros(1)  # the first tensor looks for GPUs
