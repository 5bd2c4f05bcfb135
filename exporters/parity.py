"""How far an exported model is from the one it was made from: the same samples through both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from h2g.bundle import Stage
from h2g.errors import ModelError
from h2g.exporters.samples import Field, Samples
from h2g.inference.engine import Engine

# Largest absolute difference of a probability that a float32 export may have.
LIMITS: dict[Stage, float] = {"patch": 1e-4, "refinement": 1e-3}


def largest_difference(engine: Engine, reference: Engine, samples: Samples) -> dict[Stage, float]:
    """By stage, the largest absolute difference of a probability; NaN where one is not a number.

    Patches go in as one batch and one by one, fields in two sizes at least.

    Raises:
        ModelError: the engine gives another shape than the reference.
    """
    found: dict[Stage, float] = {}
    if len(samples.patches):
        expected = reference.classify(samples.patches)
        pairs = [(engine.classify(samples.patches), expected)]
        pairs += [
            (engine.classify(samples.patches[place : place + 1]), expected[place : place + 1])
            for place in range(min(3, len(samples.patches)))
        ]
        found["patch"] = _largest("patch", pairs)
    if samples.fields:
        pairs = [
            (engine.refine(image, heatmap), reference.refine(image, heatmap))
            for image, heatmap in _fields_of_two_sizes(samples.fields)
        ]
        found["refinement"] = _largest("refinement", pairs)
    return found


def refuse_differences(
    differences: Mapping[Stage, float],
    limits: Mapping[Stage, float] | None,
    *,
    what: str,
    reference: str,
) -> None:
    """Raises ModelError, with the figures, when a difference is above its limit or not a number.

    Args:
        limits: None allows any number.
        what: the export, e.g. ``onnx float32 (onnxruntime 1.31.1)``.
        reference: what it was compared with.
    """
    most = limits or {"patch": 1.0, "refinement": 1.0}
    # "Not within" and not "above": NaN is neither.
    if all(value <= most[stage] for stage, value in differences.items()):
        return
    figures = ", ".join(
        f"{stage} {value:.1e} (at most {most[stage]:.0e})" for stage, value in differences.items()
    )
    raise ModelError(
        f"{what} gives other probabilities than {reference}; largest differences: {figures}. "
        "It was not written. Another --opset or --format may do; --no-check exports it as it is."
    )


def _fields_of_two_sizes(fields: tuple[Field, ...]) -> Iterator[Field]:
    yield from fields
    image, heatmap = fields[0]
    yield _corner(image), None if heatmap is None else _corner(heatmap)


def _corner(image: np.ndarray) -> np.ndarray:
    """The upper left 3/4 by 2/3."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(image[: max(1, height * 3 // 4), : max(1, width * 2 // 3)])


def _largest(stage: Stage, pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    largest = 0.0
    for found, expected in pairs:
        if found.shape != expected.shape:
            raise ModelError(
                f"The exported {stage} network gives {found.shape} values, not {expected.shape}."
            )
        # np.maximum, unlike max, keeps NaN.
        largest = float(np.maximum(largest, np.max(np.abs(found - expected))))
    return largest
