"""What a user asks to have exported, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from h2g.bundle import FORMATS, FilePrecision, Format
from h2g.errors import WrongUseError

DEFAULT_OPSET = 17
PRECISIONS: dict[Format, tuple[FilePrecision, ...]] = {
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "float16", "int8"),
    "tflite": ("float32", "float16", "int8"),
    "fast": ("float32",),
}


@dataclass(frozen=True)
class ExportRequest:
    """
    Attributes:
        check: reload what was written and compare it.
        force: keep int8 that loses more than it may.
        accept_preprocessing_change: FAST's preprocessing in place of the one of training.
    """

    formats: tuple[Format, ...]
    precision: FilePrecision = "float32"
    opset: int = DEFAULT_OPSET
    check: bool = True
    force: bool = False
    accept_preprocessing_change: bool = False


def wanted_formats(names: Sequence[str], precision: FilePrecision) -> tuple[Format, ...]:
    """The formats by name; ``all`` is every one that has the precision.

    Raises:
        WrongUseError: a format that was named does not have it.
    """
    for name in FORMATS:
        if name in names and precision not in PRECISIONS[name]:
            able = [other for other in FORMATS if precision in PRECISIONS[other]]
            raise WrongUseError(
                f"--format {name} has no --precision {precision}, only "
                f"{' and '.join(PRECISIONS[name])}; {precision} there is for {' and '.join(able)}."
            )
    return tuple(
        name
        for name in FORMATS
        if name in names or ("all" in names and precision in PRECISIONS[name])
    )
