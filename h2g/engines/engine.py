"""What every engine does: it opens one network file and runs named inputs to its output.

The networks are those of h2g.models.deployment: raw pixels in, probabilities out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from h2g.concurrency import Key
from h2g.engines.specs import ENGINES
from h2g.errors import ModelError, WrongUseError

# The inputs of a network by name, each with its batch axis.
Feed = dict[str, np.ndarray]
# Sizes of a tensor's axes; None is any.
Shape = tuple[int | None, ...]

# Inputs of the deployed graphs (h2g.models.deployment).
PATCH_INPUT = "input_0_patch"
IMAGE_INPUT = "input_0_image"
HEATMAP_INPUT = "input_1_heatmap"

LONGEST_REASON = 200
IMAGE_CHANNELS = 3


class Network(Protocol):
    """One network, ready to run; called from one thread."""

    @property
    def engine(self) -> str:
        """Its name, e.g. ``openvino``."""

    @property
    def device(self) -> str:
        """``CPU`` or ``GPU``."""

    @property
    def precision(self) -> str:
        """What it computes in: ``float32``, ``bfloat16``, ``float16`` or ``int8``."""

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """The shape of each input by name, in the graph's order."""

    def run(self, inputs: Feed) -> np.ndarray:
        """The network's one output.

        Args:
            inputs: float32, or uint8 where pixels go in; N along the first axis of each: 1 or, in
                a network that was opened for many, any number but 0.
        Returns:
            (N, ...) float32.
        """

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        """``run`` of many batches, each with what the caller knows it by.

        An engine that runs several at once yields them in any order, and takes only as many in
        advance as it runs. Exceptions of ``batches`` come through. When the generator ends or is
        closed, nothing is running any more.
        """


@dataclass(frozen=True)
class Probe:
    """What an engine finds when it is loaded here.

    Attributes:
        devices: name and description, e.g. ``{"CPU": "AMD EPYC"}``.
        precisions: of --precision, the default first.
        versions: besides those of its packages.
        note: what to install, or why it failed.
    """

    devices: dict[str, str] = field(default_factory=dict)
    precisions: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    status: Literal["ok", "missing", "failed"] = "ok"
    note: str = ""


def open_network(
    file: Path,
    *,
    engine: str,
    device: str = "CPU",
    precision: str = "float32",
    many: bool = False,
    batch_size: int = 16,
    inputs: Collection[str] | None = None,
    **tuning: Any,
) -> Network:
    """Opens one network file, its library and itself loaded.

    Args:
        precision: that of the file, or bfloat16 for a float32 file.
        many: for many inputs, such as patches: as many as possible per second. Else for one input
            at a time, such as a slide's picture: each as soon as possible.
        batch_size: inputs per call on a GPU.
        inputs: the names that will be fed; None takes whatever the file has.
        tuning: what the engine's own open_network takes besides.
    Raises:
        ModelError: the file is missing, cannot be read, or has other inputs.
        WrongUseError: a device or precision that is not here, or an engine of whole slides.
    """
    spec = ENGINES[engine]
    if spec.whole_slides:
        raise WrongUseError(
            f"--engine {engine} segments whole slides in a program of its own; it runs no single "
            "network."
        )
    network: Network = spec.library.open_network(
        file, device=device, precision=precision, many=many, batch_size=batch_size, **tuning
    )
    if inputs is not None:
        check_inputs(file, network.inputs, inputs)
    return network


def one_by_one(
    run: Callable[[Feed], np.ndarray], batches: Iterable[tuple[Key, Feed]]
) -> Generator[tuple[Key, np.ndarray], None, None]:
    """``run_each`` of an engine that runs one batch at a time."""
    for key, inputs in batches:
        yield key, run(inputs)


def in_parts(run: Callable[[Feed], np.ndarray], inputs: Feed, *, size: int) -> np.ndarray:
    """``run`` of at most ``size`` rows at a time, the answers joined."""
    count = len(next(iter(inputs.values())))
    parts = [
        run({name: values[start : start + size] for name, values in inputs.items()})
        for start in range(0, count, size)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def as_floats(inputs: Feed) -> Feed:
    """The same values in float32, contiguous, as libraries read them in place."""
    return {name: np.ascontiguousarray(values, np.float32) for name, values in inputs.items()}


def pixel_inputs(inputs: Mapping[str, Shape]) -> frozenset[str]:
    """The inputs that take RGB, so that prediction hands them in as bytes."""
    return frozenset(name for name, shape in inputs.items() if shape[-1] == IMAGE_CHANNELS)


def check_inputs(file: Path, found: Collection[str], wanted: Collection[str]) -> None:
    """ModelError when a network's inputs have other names than those that will be fed."""
    if set(found) != set(wanted):
        raise ModelError(
            f"{file}: not the network that its card describes: its inputs are named "
            f"{', '.join(sorted(found)) or 'nothing'}, not {', '.join(sorted(wanted))}. "
            "Give a bundle that 'h2g export' wrote."
        )


def check_file(file: Path) -> None:
    """ModelError when there is no such file."""
    if not file.is_file():
        raise ModelError(f"{file}: there is no such model file. Export the run again.")


def unreadable(file: Path, library: str, error: Exception) -> ModelError:
    """The error of a file that an engine's library refuses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1][:LONGEST_REASON] if lines else type(error).__name__
    return ModelError(
        f"{file}: {library} cannot load it ({reason}). Export the run again, or copy the bundle "
        "again."
    )
