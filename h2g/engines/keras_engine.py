"""Runs the .keras files of run folders; the only engine that needs TensorFlow."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np

from h2g.engines.engine import Feed, Key, Probe, Shape, in_parts, one_by_one
from h2g.errors import WrongUseError
from h2g.models.startup import start_keras

start_keras()  # before anything else imports Keras, so that it starts quietly

import keras  # noqa: E402

from h2g.models.deployment import deployed, load_network  # noqa: E402


class KerasNetwork:
    """A deployed graph that computes in float32."""

    engine = "keras"
    precision = "float32"

    def __init__(self, graph: keras.Model, device: str, batch_size: int | None) -> None:
        self.device = device
        self.inputs: dict[str, Shape] = {each.name: tuple(each.shape) for each in graph.inputs}
        self._graph = graph
        self._batch_size = batch_size

    def run(self, inputs: Feed) -> np.ndarray:
        """See h2g.engines.engine.Network."""
        if self._batch_size is None:
            return self._run(inputs)
        return in_parts(self._run_padded, inputs, size=self._batch_size)

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return one_by_one(self.run, batches)

    def _run_padded(self, inputs: Feed) -> np.ndarray:
        # Every call has the same shape, so TensorFlow traces the graph only once.
        count = len(next(iter(inputs.values())))
        missing = (self._batch_size or count) - count
        full = {
            name: np.pad(values, ((0, missing), *[(0, 0)] * (values.ndim - 1)))
            if missing
            else values
            for name, values in inputs.items()
        }
        return self._run(full)[:count]

    def _run(self, inputs: Feed) -> np.ndarray:
        values = [inputs[name] for name in self.inputs]
        with keras.device(f"{self.device.lower()}:0"):
            return self._graph.predict_on_batch(values if len(values) > 1 else values[0])


def open_network(
    file: Path,
    *,
    device: str = "auto",
    precision: str = "float32",
    many: bool = False,
    batch_size: int = 16,
) -> KerasNetwork:
    """Opens a .keras file.

    Args:
        file: ``model.keras``, the bare network.
        device: ``auto`` takes a GPU if there is one.
        precision: float32 only.
        many: run ``batch_size`` rows per call; otherwise inputs are run as given.
    Raises:
        ModelError: the file is missing or no model.
        WrongUseError: a GPU is requested and there is none.
    """
    check_device(device)
    if device == "auto":
        device = "GPU" if "GPU" in found_devices() else "CPU"
    graph = deployed(load_network(file))
    # XLA would compile again for every size of image.
    graph.compile(jit_compile=False)
    return KerasNetwork(graph, device, batch_size if many else None)


def check_device(device: str) -> None:
    """WrongUseError if Keras has no such device."""
    if device == "GPU" and "GPU" not in found_devices():
        raise WrongUseError(
            "Keras finds no GPU here. For an NVIDIA GPU, run pip install 'h2g[gpu]'; otherwise "
            "give --device CPU."
        )


def found_devices() -> dict[str, str]:
    """The CPU and, if there is one, the GPU with Keras's name for it."""
    gpus = keras.distribution.list_devices("gpu")
    return {"CPU": "", **({"GPU": ", ".join(gpus)} if gpus else {})}


def probe() -> Probe:
    return Probe(found_devices(), ("float32",))
