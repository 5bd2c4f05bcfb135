"""The folder of a bundle: its existing contents, and how they are changed.

A change succeeds as a whole or not at all: files are written aside, then swapped in by renames.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence, Set
from pathlib import Path

from h2g import __version__
from h2g.errors import ModelError, RunError
from h2g.exporters.export_request import ExportRequest
from h2g.exporters.quantization_cost import why_refused
from h2g.exporters.source import ExportSource
from h2g.files import rename_all
from h2g.folders.bundle import (
    CARD_FILE,
    FILE_PRECISIONS,
    FORMATS,
    Bundle,
    Card,
    Export,
    FilePrecision,
    Format,
    check_export,
    is_bundle,
    open_bundle,
)
from h2g.folders.run import is_run

Kinds = Set[tuple[Format, FilePrecision]]

PREFIX = ".export-"
# No export takes that long. A younger folder may belong to another export.
LEFTOVER_SECONDS = 24 * 3600


@contextlib.contextmanager
def staging_folder(bundle: Path) -> Iterator[Path]:
    """An empty folder inside ``bundle``, on the same disk, so that files can be renamed into it.

    It is deleted at the end, with any parent folders that were created for it and are still empty.
    """
    created_folders = [folder for folder in (bundle, *bundle.parents) if not folder.exists()]
    try:
        bundle.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(bundle)
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=bundle) as name:
            yield Path(name)
    finally:
        for folder in created_folders:
            with contextlib.suppress(OSError):  # no longer empty
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
    """Replaces files of the bundle, and restores them if anything fails, Ctrl-C included.

    Args:
        staged: folder with ``last`` and the ``new`` files, under their names in the bundle.
        new: files to add or replace.
        old: files to remove.
        aside: folder on the same disk that receives the removed files.
        last: the file that is replaced last; it completes the new bundle.
    """
    leaving = [name for name in {*old, *new} if (bundle / name).is_file()]
    moves = [(bundle / name, aside / name) for name in leaving]
    moves += [(staged / name, bundle / name) for name in new]
    rename_all([*moves, (staged / last, bundle / last)])
    for name in leaving:
        with contextlib.suppress(OSError):  # the folder holds other files
            (bundle / name).parent.rmdir()


def _remove_leftovers(bundle: Path) -> None:
    """Deletes staging folders that killed processes left behind."""
    for folder in bundle.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def existing_card(folder: Path) -> Card | None:
    """The card of the bundle in a folder, or None if the folder is new or empty.

    Raises:
        RunError: the folder holds something else, or a card that this version cannot read.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: this is a file. Give --out a folder.")
    if is_run(folder):
        raise RunError(f"{folder}: this is a run folder. Give --out a folder of the bundle's own.")
    if is_bundle(folder):
        try:
            return open_bundle(folder).card
        except ModelError as error:
            raise RunError(
                f"{folder}: the existing bundle cannot be extended; give another --out. {error}"
            ) from error
    if folder.is_dir() and any(not is_staging(path) for path in folder.iterdir()):
        raise RunError(
            f"{folder}: this folder holds other files and no bundle. Give --out a new or empty "
            "folder, or a bundle."
        )
    return None


def check_same_model(card: Card, old_card: Card, replaced: Kinds, folder: Path) -> None:
    """Raises RunError when the existing bundle cannot take exports of ``card``.

    Args:
        old_card: card of the existing bundle.
        replaced: formats and precisions that will be exported again.
    """
    if _hashes(card) != _hashes(old_card):
        raise RunError(
            f"{folder}: this bundle ('{old_card.name}') holds other networks than '{card.name}'. "
            "Give another --out."
        )
    kept = [f"{e.format} {e.precision}" for e in _kept(old_card, replaced)]
    if kept and old_card.name != card.name:
        raise RunError(
            f"{folder}: this bundle and its exports ({', '.join(kept)}) are named "
            f"'{old_card.name}'. Leave out --name, or give another --out."
        )
    if kept and _terms(old_card) != _terms(card):
        raise RunError(
            f"{folder}: the existing exports ({', '.join(kept)}) have author "
            f"'{old_card.author}' and licence '{old_card.licence}'. Leave out --author and "
            "--licence, export these formats again with the new ones, or give another --out."
        )
    if kept and old_card.preprocessing != card.preprocessing:
        remedy = ", or --accept-preprocessing-change again" if old_card.preprocessing_change else ""
        raise RunError(
            f"{folder}: the existing exports ({', '.join(kept)}) use preprocessing profile "
            f"'{old_card.preprocessing.profile}', this export with '{card.preprocessing.profile}'; "
            f"a bundle has one preprocessing. Give another --out{remedy}."
        )


def reusable_exports(
    bundle: Bundle, source: ExportSource, request: ExportRequest
) -> dict[Format, Export]:
    """The requested exports that the bundle already holds, intact and with the same settings."""
    if not _alike(source.card, bundle.card):
        return {}
    reusable = {}
    for format in request.formats:
        export = bundle.card.find_export(format, request.precision)
        if export is not None and _serves(export, source, request) and _is_intact(bundle, export):
            reusable[format] = export
    return reusable


def _serves(export: Export, source: ExportSource, request: ExportRequest) -> bool:
    if export.h2g_version != __version__:
        return False
    if export.format == "onnx" and export.opset != request.opset:
        return False
    if not request.check:
        return True
    if export.check is None or (export.check.pixels == "noise" and source.run is not None):
        return False
    return request.force or export.cost is None or why_refused(export.cost) is None


def _is_intact(bundle: Bundle, export: Export) -> bool:
    try:
        check_export(bundle, export)
    except ModelError:
        return False
    return True


def merge_cards(card: Card, old_card: Card | None, exports: Sequence[Export]) -> Card:
    """The card with the new exports and those already in the bundle that stay valid."""
    if old_card is None:
        return card.model_copy(update={"exports": tuple(exports)})
    replaced = {(export.format, export.precision) for export in exports}
    kept = _kept(old_card, replaced) if _alike(card, old_card) else []
    both = sorted([*kept, *exports], key=_place)
    update = {
        "exports": tuple(both),
        # A single network file lacks them.
        "training": card.training or old_card.training,
        "scores": card.scores or old_card.scores,
    }
    return card.model_copy(update=update)


def _alike(card: Card, old_card: Card) -> bool:
    """Whether exports of both cards may share a bundle."""
    return (card.name, _terms(card), card.preprocessing) == (
        old_card.name,
        _terms(old_card),
        old_card.preprocessing,
    )


def _terms(card: Card) -> tuple[str, str]:
    """Author and licence, which are written into the files of every export."""
    return card.author, card.licence


def _kept(old_card: Card, replaced: Kinds) -> list[Export]:
    return [e for e in old_card.exports if (e.format, e.precision) not in replaced]


def _hashes(card: Card) -> dict[str, str]:
    return {name: network.sha256 for name, network in card.networks.items()}


def _place(export: Export) -> tuple[int, int]:
    return FORMATS.index(export.format), FILE_PRECISIONS.index(export.precision)
