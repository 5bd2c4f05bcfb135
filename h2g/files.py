"""Files that are complete or absent: they are written under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def same_files(some: Sequence[Path], others: Sequence[Path]) -> bool:
    """Whether all files exist and are equal, pair by pair."""
    return len(some) == len(others) and all(
        one.is_file() and another.is_file() and filecmp.cmp(one, another, shallow=False)
        for one, another in zip(some, others, strict=True)
    )


def absolute(path: Path) -> Path:
    """The absolute path without ``..``; links keep their own names."""
    return Path(os.path.abspath(path))


def write_text(path: Path, text: str) -> None:
    """Writes the file whole or not at all, as UTF-8; names that are not UTF-8 are escaped."""
    with replacing(path) as temporary:
        # The escapes are those of JSON.
        temporary.write_text(text, "utf-8", "backslashreplace")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` with the same suffix.

    The file replaces ``path`` if the block succeeds, and is deleted otherwise. A missing parent
    folder is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def rename_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Renames files in the given order: all of them, or none.

    If anything stops it before the last rename, Ctrl-C included, all files are put back.

    Args:
        moves: path and new path of each file, on the same disk. Only the last move may replace an
            existing file; earlier moves must move any other existing file aside.
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
        # The disk shows it reliably: Ctrl-C may come between a rename and a record of it.
        if target.exists() and not source.exists():
            with contextlib.suppress(OSError):  # undo as many as possible
                os.replace(target, source)
