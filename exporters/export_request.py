"""What a user asks to have exported, and what cannot be asked."""

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
    """
    Attributes:
        check: reload what was written and compare it.
        force: keep int8 that loses more than it may.
        fast_version: whose preprocessing a ``fast`` export has; None takes the one of training,
            4.9 after training for none.
        accept_preprocessing_change: FAST's preprocessing in place of the one of training.
        author, licence: of the weights; None leaves what the bundle says.
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
    """What an option says, for the card.

    Raises:
        WrongUseError: nothing but spaces, or several lines.
    """
    if text is None:
        return None
    line = text.strip()
    if not line or len(line.splitlines()) > 1:
        raise WrongUseError(f"{option} {text!r}: give one line of text, or leave out {option}.")
    return line


def wanted_formats(names: Sequence[str], precision: FilePrecision) -> tuple[Format, ...]:
    """The formats by name; ``all`` is every one that has the precision.

    Raises:
        WrongUseError: a format that was named does not have it.
    """
    for name in FORMATS:
        if name in names and precision not in precisions(name):
            able = [other for other in FORMATS if precision in precisions(other)]
            raise WrongUseError(
                f"--format {name} has no --precision {precision}, only "
                f"{' and '.join(precisions(name))}; {precision} there is for {' and '.join(able)}."
            )
    return tuple(
        name
        for name in FORMATS
        if name in names or ("all" in names and precision in precisions(name))
    )


def precisions(format: Format) -> tuple[FilePrecision, ...]:
    """What there are files in."""
    engine = next(spec for spec in ENGINES.values() if spec.formats[:1] == (format,))
    return tuple(each for each in FILE_PRECISIONS if each in engine.precisions)
