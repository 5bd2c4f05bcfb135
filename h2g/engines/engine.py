"""The protocol of engines: an engine opens a network file and runs named inputs through it.

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
# Lengths of a tensor's axes; None is any length.
Shape = tuple[int | None, ...]

# Inputs of the deployed graphs (h2g.models.deployment).
PATCH_INPUT = "input_0_patch"
IMAGE_INPUT = "input_0_image"
HEATMAP_INPUT = "input_1_heatmap"

LONGEST_REASON = 200
IMAGE_CHANNELS = 3


class Network(Protocol):
    """One open network; call it from one thread only."""

    @property
    def engine(self) -> str:
        """Name of the engine, e.g. ``openvino``."""

    @property
    def device(self) -> str:
        """``CPU`` or ``GPU``."""

    @property
    def precision(self) -> str:
        """Precision it computes in: ``float32``, ``bfloat16``, ``float16`` or ``int8``."""

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """Shape of each input by name, in the graph's order."""

    def run(self, inputs: Feed) -> np.ndarray:
        """The network's only output.

        Args:
            inputs: float32, or uint8 for pixels. The first axis of each has length N: 1, or any
                number from 1 if the network was opened for many.
        Returns:
            (N, ...) float32.
        """

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        """Runs many batches, and yields the output of each with its key.

        An engine that runs several batches at once yields them in any order, and takes only as
        many in advance as it runs. Exceptions of ``batches`` are passed on. When the generator
        ends or is closed, no batch is running any more.
        """


@dataclass(frozen=True)
class Probe:
    """Findings of an engine that was loaded on this machine.

    Attributes:
        devices: description of each device by name, e.g. ``{"CPU": "AMD EPYC"}``.
        precisions: values of --precision, the default first.
        versions: versions besides those of its packages.
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
    """Opens one network file, and loads the engine's library.

    Args:
        precision: precision of the file, or bfloat16 for a float32 file.
        many: whether there are many inputs, such as patches. If so, as many as possible are run per
            second. Otherwise single inputs, such as the image of a slide, are run with least delay.
        batch_size: inputs per call on a GPU.
        inputs: names of the inputs that will be fed; None accepts any.
        tuning: further arguments of the engine's own open_network.
    Raises:
        ModelError: the file is missing, cannot be read, or has other inputs.
        WrongUseError: the device or precision is not available here, or the engine opens no
            networks.
    """
    spec = ENGINES[engine]
    if spec.whole_slides:
        raise WrongUseError(
            f"--engine {engine} only segments whole slides; it cannot run a single network. Choose "
            "another engine."
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
    """``run_each`` for an engine that runs one batch at a time."""
    for key, inputs in batches:
        yield key, run(inputs)


def in_parts(run: Callable[[Feed], np.ndarray], inputs: Feed, *, size: int) -> np.ndarray:
    """Runs at most ``size`` rows at a time, and joins the outputs."""
    count = len(next(iter(inputs.values())))
    parts = [
        run({name: values[start : start + size] for name, values in inputs.items()})
        for start in range(0, count, size)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def as_floats(inputs: Feed) -> Feed:
    """The same values as contiguous float32 arrays, which libraries read without a copy."""
    return {name: np.ascontiguousarray(values, np.float32) for name, values in inputs.items()}


def pixel_inputs(inputs: Mapping[str, Shape]) -> frozenset[str]:
    """Names of the inputs that take RGB pixels, which prediction passes as uint8."""
    return frozenset(name for name, shape in inputs.items() if shape[-1] == IMAGE_CHANNELS)


def check_inputs(file: Path, found: Collection[str], wanted: Collection[str]) -> None:
    """ModelError if a network's inputs have other names than those that will be fed."""
    if set(found) != set(wanted):
        raise ModelError(
            f"{file}: not the network that its card describes. Its inputs are named "
            f"{', '.join(sorted(found)) or 'nothing'}, not {', '.join(sorted(wanted))}. "
            "Give a bundle that 'h2g export' wrote."
        )


def check_file(file: Path) -> None:
    """ModelError if there is no such file."""
    if not file.is_file():
        raise ModelError(f"{file}: there is no such model file. Export the run again.")


def unreadable(file: Path, library: str, error: Exception) -> ModelError:
    """The error for a file that an engine's library cannot load."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1][:LONGEST_REASON] if lines else type(error).__name__
    return ModelError(
        f"{file}: {library} cannot load it ({reason}). Export the run again, or copy the bundle "
        "again."
    )
