"""Files that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes the file whole or not at all, as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` with the same suffix.

    It is renamed onto ``path`` when the block ends well, and deleted otherwise. The parent folder
    is made when it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def rename_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Renames files, first to last: all of them, or none.

    Whatever stops it before the last rename, Ctrl-C included, the files are put back as they were.

    Args:
        moves: each file's path and its new path, on the same disk. Only the last may replace a
            file that is there; any other such file has to be moved aside by a move before.
    """
    for _, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        for source, target in moves:
            os.replace(source, target)
    except BaseException:
        if moves[-1][0].exists():
            _undo(moves)
        raise


def _undo(moves: Sequence[tuple[Path, Path]]) -> None:
    for source, target in reversed(moves):
        # Asked of the disk: Ctrl-C may come between a rename and any note of it.
        if target.exists() and not source.exists():
            with contextlib.suppress(OSError):  # as many as can be
                os.replace(target, source)
