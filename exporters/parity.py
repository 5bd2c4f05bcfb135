"""The difference between an exported network and its original, measured on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from h2g.engines.engine import Feed, Network
from h2g.errors import ModelError
from h2g.stages.chain import NETWORKS

SINGLE_INPUTS = 3
Run = Callable[[Feed], np.ndarray]


def largest_difference(name: str, run: Run, reference: Network, feeds: Sequence[Feed]) -> float:
    """The largest absolute difference of a probability; NaN if any value is NaN.

    A network for many inputs is run on one batch and on single inputs, any other on at least two
    sizes.

    Args:
        name: name of the networks' stage.
        run: runs the exported network on inputs of the reference.
    Raises:
        ModelError: the outputs have different shapes.
    """
    largest = 0.0
    for feed in _trials(feeds, many=NETWORKS[name].many):
        values, expected = run(feed), reference.run(feed)
        if values.shape != expected.shape:
            raise ModelError(
                f"The exported {name} network gives {values.shape} values, not {expected.shape}."
            )
        # np.maximum, unlike max, keeps NaN.
        largest = float(np.maximum(largest, np.max(np.abs(values - expected))))
    return largest


def check_differences(
    differences: Mapping[str, float], *, exact: bool, what: str, reference: str
) -> None:
    """Raises ModelError, with the figures, when a difference is above its limit or NaN.

    Args:
        exact: False allows any number.
        what: the export, e.g. ``onnx float32 (onnxruntime 1.31.1)``.
        reference: the engine it was compared with.
    """
    most = {name: NETWORKS[name].limit if exact else 1.0 for name in differences}
    # "Not within", because NaN is not "above" either.
    if all(value <= most[name] for name, value in differences.items()):
        return
    figures = ", ".join(
        f"{name} {value:.1e} (at most {most[name]:.0e})" for name, value in differences.items()
    )
    raise ModelError(
        f"{what} gives other probabilities than {reference}; largest differences: {figures}. "
        "It was not written. Another --opset or --format may work; --no-check exports it anyway."
    )


def _trials(feeds: Sequence[Feed], *, many: bool) -> Iterator[Feed]:
    if many:
        yield {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
        yield from feeds[:SINGLE_INPUTS]
        return
    yield from feeds
    yield {name: _corner(values) for name, values in feeds[0].items()}


def _corner(values: np.ndarray) -> np.ndarray:
    """The upper left 3/4 by 2/3."""
    height, width = values.shape[1:3]
    return np.ascontiguousarray(values[:, : max(1, height * 3 // 4), : max(1, width * 2 // 3)])
