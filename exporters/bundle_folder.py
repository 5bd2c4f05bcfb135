"""The folder that a bundle is written to: what it holds already, and how that is changed.

Changes are made whole or not at all: files are written aside, then swapped in by renames.
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
    is_bundle,
    open_bundle,
    verify_export,
)
from h2g.folders.run import is_run

Kinds = Set[tuple[Format, FilePrecision]]

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
    leaving = [name for name in {*old, *new} if (bundle / name).is_file()]
    moves = [(bundle / name, aside / name) for name in leaving]
    moves += [(staged / name, bundle / name) for name in new]
    rename_all([*moves, (staged / last, bundle / last)])
    for name in leaving:
        with contextlib.suppress(OSError):  # it holds other files
            (bundle / name).parent.rmdir()


def _remove_leftovers(bundle: Path) -> None:
    """Deletes what processes that were killed left behind."""
    for folder in bundle.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def existing_card(folder: Path) -> Card | None:
    """The card in a folder that may be written to, None when there is none yet.

    Raises:
        RunError: the folder holds something else, or a card that this h2g cannot read.
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
                f"{folder}: there is a bundle that cannot be added to; give another --out. {error}"
            ) from error
    if folder.is_dir() and any(not is_staging(path) for path in folder.iterdir()):
        raise RunError(
            f"{folder}: this folder holds other things and no bundle. Give --out a new or empty "
            "folder, or a bundle."
        )
    return None


def refuse_other_model(card: Card, there: Card, replaced: Kinds, folder: Path) -> None:
    """Raises RunError when the bundle there cannot take exports of ``card``.

    Args:
        replaced: the formats and precisions that are exported anew.
    """
    if _hashes(card) != _hashes(there):
        raise RunError(
            f"{folder}: this bundle ('{there.name}') holds other networks than '{card.name}'. Give "
            "another --out."
        )
    kept = [f"{e.format} {e.precision}" for e in _kept(there, replaced)]
    if kept and there.name != card.name:
        raise RunError(
            f"{folder}: this bundle is named '{there.name}', and so is what is in it "
            f"({', '.join(kept)}). Leave out --name, or give another --out."
        )
    if kept and _terms(there) != _terms(card):
        raise RunError(
            f"{folder}: what is there ({', '.join(kept)}) was exported with author "
            f"'{there.author}' and licence '{there.licence}'. Leave out --author and --licence, "
            "export these formats again together with the new ones, or give another --out."
        )
    if kept and there.preprocessing != card.preprocessing:
        remedy = ", or --accept-preprocessing-change again" if there.preprocessing_change else ""
        raise RunError(
            f"{folder}: what is there ({', '.join(kept)}) runs with preprocessing profile "
            f"'{there.preprocessing.profile}', this export with '{card.preprocessing.profile}'; "
            f"a bundle has one preprocessing. Give another --out{remedy}."
        )


def reusable_exports(
    bundle: Bundle, source: ExportSource, request: ExportRequest
) -> dict[Format, Export]:
    """The exports asked for that the bundle holds, intact and as they would be made."""
    if not _alike(source.card, bundle.card):
        return {}
    found = {}
    for format in request.formats:
        export = bundle.card.find_export(format, request.precision)
        if export is not None and _serves(export, source, request) and _is_intact(bundle, export):
            found[format] = export
    return found


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
        verify_export(bundle, export)
    except ModelError:
        return False
    return True


def merge_cards(card: Card, there: Card | None, exports: Sequence[Export]) -> Card:
    """``card`` with ``exports``, and what else the bundle there holds that goes with it."""
    if there is None:
        return card.model_copy(update={"exports": tuple(exports)})
    replaced = {(export.format, export.precision) for export in exports}
    kept = _kept(there, replaced) if _alike(card, there) else []
    both = sorted([*kept, *exports], key=_place)
    update = {
        "exports": tuple(both),
        # A single network file does not know them.
        "training": card.training or there.training,
        "scores": card.scores or there.scores,
    }
    return card.model_copy(update=update)


def _alike(card: Card, there: Card) -> bool:
    """Whether exports of one may lie beside those of the other."""
    return (card.name, _terms(card), card.preprocessing) == (
        there.name,
        _terms(there),
        there.preprocessing,
    )


def _terms(card: Card) -> tuple[str, str]:
    """What stands inside the files of every export, beside the name."""
    return card.author, card.licence


def _kept(there: Card, replaced: Kinds) -> list[Export]:
    return [e for e in there.exports if (e.format, e.precision) not in replaced]


def _hashes(card: Card) -> dict[str, str]:
    return {name: network.sha256 for name, network in card.networks.items()}


def _place(export: Export) -> tuple[int, int]:
    return FORMATS.index(export.format), FILE_PRECISIONS.index(export.precision)
