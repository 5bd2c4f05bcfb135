"""Puts a bundle's pipeline and networks where FastPathology looks for them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from h2g.bundle import Bundle, Export, verify_export
from h2g.errors import RunError, WrongUseError
from h2g.files import file_sha256, rename_all

USER_FOLDER = "fast/user/"
PREFIX = ".h2g-install-"


def install(bundle: Bundle, target: Path) -> list[Path]:
    """Copies the pipeline to ``target/pipelines`` and its networks to ``target/models``: all of
    them, or nothing.

    Files carry the model's name. One that is there already is kept when it is equal, and replaced
    when the pipeline there was written by h2g from a model of the same name; anything else there
    is not touched.

    Args:
        target: FastPathology's folder, ``~/fastpathology``; is made.
    Returns:
        The installed files.
    Raises:
        RunError: no FAST export in the bundle.
        ModelError: its files are not as they were exported.
        WrongUseError: a file of that name is something else, or the folder cannot be written.
    """
    export = bundle.card.find_export("fast")
    if export is None:
        raise RunError(f"{bundle.path}: this bundle has no FAST pipelines. Export --format fast.")
    verify_export(bundle, export)
    files = _places(bundle, export, target)
    _refuse_others(files)
    changed = {place: file for place, file in files.items() if not _is_equal(place, file)}
    try:
        _copy(changed, target)
    except OSError as error:
        raise WrongUseError(
            f"{target}: cannot be written ({error.strerror}). Name another folder: --install DIR."
        ) from error
    return list(files)


def _places(bundle: Bundle, export: Export, target: Path) -> dict[Path, Path]:
    """Where each file goes -> where it is."""
    return {
        target / name.removeprefix(USER_FOLDER): bundle.path / name
        for name in sorted(export.files)
        if name.startswith(USER_FOLDER)
    }


def _refuse_others(files: Mapping[Path, Path]) -> None:
    pipelines = {place: file for place, file in files.items() if place.suffix == ".fpl"}
    if all(_mark(place) == _mark(file) for place, file in pipelines.items()):
        return
    for place, file in files.items():
        if place.exists() and not _is_equal(place, file):
            raise WrongUseError(
                f"{place}: is there already and was not installed from a model of this name. Move "
                "it away, or export the model with another --name."
            )


def _mark(pipeline: Path) -> str | None:
    """The first line, which names h2g and the model; None when there is no such file."""
    try:
        with pipeline.open(encoding="utf-8", errors="replace") as stream:
            return stream.readline()
    except FileNotFoundError:
        return None


def _is_equal(place: Path, file: Path) -> bool:
    return place.is_file() and file_sha256(place) == file_sha256(file)


def _copy(files: Mapping[Path, Path], target: Path) -> None:
    """Copies beside their places, then renames; what was there is put back when that fails."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=target) as folder:
        new, old = Path(folder) / "new", Path(folder) / "old"
        moves = []
        for place, file in files.items():
            copy, aside = new / place.relative_to(target), old / place.relative_to(target)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            if place.exists():
                moves.append((place, aside))
            moves.append((copy, place))
        rename_all(moves)
