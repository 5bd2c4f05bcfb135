"""Installation of a bundle's pipeline and networks for FastPathology."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from h2g.errors import RunError, WrongUseError
from h2g.files import file_sha256, rename_all
from h2g.folders.bundle import Bundle, Export, check_export

USER_FOLDER = "fast/user/"
PREFIX = ".h2g-install-"


def install(bundle: Bundle, target: Path) -> list[Path]:
    """Copies the pipeline to ``target/pipelines`` and its networks to ``target/models``.

    All files are copied, or none. They carry the model's name. An equal file is kept. A different
    one is replaced only if h2g wrote the existing pipeline from a model of the same name.

    Args:
        target: FastPathology's folder, ``~/fastpathology``; created if missing.
    Returns:
        The installed files.
    Raises:
        RunError: the bundle has no FAST export.
        ModelError: its files have changed since the export.
        WrongUseError: a file of that name is something else, or the folder cannot be written.
    """
    export = bundle.card.find_export("fast")
    if export is None:
        raise RunError(f"{bundle.path}: this bundle has no FAST pipelines. Export --format fast.")
    check_export(bundle, export)
    files = _places(bundle, export, target)
    _check_existing_files(files)
    changed = {place: file for place, file in files.items() if not _is_equal(place, file)}
    try:
        _copy(changed, target)
    except OSError as error:
        raise WrongUseError(
            f"{target}: cannot be written ({error.strerror}). Name another folder: --install DIR."
        ) from error
    return list(files)


def _places(bundle: Bundle, export: Export, target: Path) -> dict[Path, Path]:
    """The file to copy, by its place in ``target``."""
    return {
        target / name.removeprefix(USER_FOLDER): bundle.path / name
        for name in sorted(export.files)
        if name.startswith(USER_FOLDER)
    }


def _check_existing_files(files: Mapping[Path, Path]) -> None:
    pipelines = {place: file for place, file in files.items() if place.suffix == ".fpl"}
    if all(_mark(place) == _mark(file) for place, file in pipelines.items()):
        return
    for place, file in files.items():
        if place.exists() and not _is_equal(place, file):
            raise WrongUseError(
                f"{place}: this file exists and was not installed from a model of this name. Move "
                "it away, or export the model with another --name."
            )


def _mark(pipeline: Path) -> str | None:
    """The first line, which names h2g and the model; None if there is no such file."""
    try:
        with pipeline.open(encoding="utf-8", errors="replace") as stream:
            return stream.readline()
    except FileNotFoundError:
        return None


def _is_equal(place: Path, file: Path) -> bool:
    return place.is_file() and file_sha256(place) == file_sha256(file)


def _copy(files: Mapping[Path, Path], target: Path) -> None:
    """Copies the files beside their places, then renames them; restores old files on failure."""
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
