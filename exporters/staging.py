"""Changing a bundle whole or not at all: written aside, then swapped in by renames."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from h2g.bundle import CARD_FILE

PREFIX = ".export-"
# No export takes that long: a younger folder may be another export's.
LEFTOVER_SECONDS = 24 * 3600


@contextlib.contextmanager
def staging_folder(bundle: Path) -> Iterator[Path]:
    """An empty folder inside ``bundle``, so that renames take files over; gone at the end, and
    with it the folders that were made for this and have stayed empty."""
    made = [folder for folder in (bundle, *bundle.parents) if not folder.exists()]
    try:
        bundle.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(bundle)
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=bundle) as name:
            yield Path(name)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it holds something now
                folder.rmdir()


def is_staging(path: Path) -> bool:
    return path.name.startswith(PREFIX)


def swap_in(
    staged: Path,
    bundle: Path,
    *,
    new: Collection[str],
    old: Collection[str],
    aside: Path,
    last: str = CARD_FILE,
) -> None:
    """Takes the bundle's files ``old`` out, brings ``new`` in and replaces ``last``.

    Whatever stops it before that, Ctrl-C included, the files are put back as they were.

    Args:
        staged: holds ``last`` and the files ``new`` under their names relative to the bundle.
        aside: a folder on the same disk; the old files end there.
        last: with it the new bundle is whole.
    """
    final = staged / last
    leaving = [name for name in {*old, *new} if (bundle / name).is_file()]
    moves = [(bundle / name, aside / name) for name in leaving]
    moves += [(staged / name, bundle / name) for name in new]
    for _, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        for source, target in moves:
            os.replace(source, target)
        os.replace(final, bundle / last)
    except BaseException:
        if final.exists():
            for source, target in reversed(moves):
                if target.exists() and not source.exists():
                    os.replace(target, source)
        raise
    for name in leaving:
        with contextlib.suppress(OSError):  # it holds other files
            (bundle / name).parent.rmdir()


def _remove_leftovers(bundle: Path) -> None:
    """Deletes what processes that were killed left behind."""
    for folder in bundle.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
