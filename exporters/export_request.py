"""An export request of a user, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from h2g.engines.specs import ENGINES
from h2g.errors import WrongUseError
from h2g.fast_versions import FastName
from h2g.folders.bundle import FILE_PRECISIONS, FORMATS, FilePrecision, Format

DEFAULT_OPSET = 17


@dataclass(frozen=True)
class ExportRequest:
    """The formats to export, and how.

    Attributes:
        check: reload the written files and compare them.
        force: keep int8 even if it loses more than is allowed.
        fast_version: FAST version whose preprocessing a ``fast`` export uses; None is the version
            that the model was trained for, or 4.9 if it was trained for none.
        accept_preprocessing_change: use FAST's preprocessing instead of that of training.
        author, licence: author and licence of the weights; None keeps those of the bundle.
    """

    formats: tuple[Format, ...]
    precision: FilePrecision = "float32"
    opset: int = DEFAULT_OPSET
    check: bool = True
    force: bool = False
    fast_version: FastName | None = None
    accept_preprocessing_change: bool = False
    author: str | None = None
    licence: str | None = None


def one_line(option: str, text: str | None) -> str | None:
    """An option's text for the card, without outer spaces.

    Raises:
        WrongUseError: the text is blank, or has several lines.
    """
    if text is None:
        return None
    line = text.strip()
    if not line or len(line.splitlines()) > 1:
        raise WrongUseError(f"{option} {text!r}: give one line of text, or leave out {option}.")
    return line


def wanted_formats(names: Sequence[str], precision: FilePrecision) -> tuple[Format, ...]:
    """The named formats; ``all`` names every format that has the precision.

    Raises:
        WrongUseError: a named format lacks the precision.
    """
    for name in FORMATS:
        if name in names and precision not in precisions(name):
            able = [other for other in FORMATS if precision in precisions(other)]
            raise WrongUseError(
                f"--format {name} has no --precision {precision}, only "
                f"{' and '.join(precisions(name))}; {precision} exists for {' and '.join(able)}."
            )
    return tuple(
        name
        for name in FORMATS
        if name in names or ("all" in names and precision in precisions(name))
    )


def precisions(format: Format) -> tuple[FilePrecision, ...]:
    """The precisions that files of a format exist in."""
    engine = next(spec for spec in ENGINES.values() if spec.formats[:1] == (format,))
    return tuple(each for each in FILE_PRECISIONS if each in engine.precisions)
