"""Runs .tflite files with LiteRT, on the CPU."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from h2g.engines.engine import (
    Feed,
    Key,
    Probe,
    Shape,
    as_floats,
    check_file,
    in_parts,
    one_by_one,
    unreadable,
)
from h2g.errors import WrongUseError
from h2g.hardware import usable_cores
from h2g.quiet import without_chatter

# With one row per call, the data between two layers stay in a core's cache. Batches took more CPU
# time.
CALL_ROWS = 1


class TfliteNetwork:
    """The signature of a .tflite file, with named inputs and one output."""

    engine = "tflite"
    device = "CPU"

    def __init__(self, runner: Any, *, precision: str, call_rows: int | None) -> None:
        """
        Args:
            call_rows: rows per call; None passes inputs on as given.
        """
        self.precision = precision
        self.inputs: dict[str, Shape] = {
            name: tuple(int(side) if side > 0 else None for side in details["shape_signature"])
            for name, details in runner.get_input_details().items()
        }
        self._runner = runner
        self._call_rows = next(iter(self.inputs.values()))[0] or call_rows

    def run(self, inputs: Feed) -> np.ndarray:
        """See h2g.engines.engine.Network.

        Raises:
            ValueError: an input has another size. LiteRT would resize its graph to it.
        """
        for name, shape in self.inputs.items():
            sides = zip(inputs[name].shape[1:], shape[1:], strict=True)
            if any(wanted not in {side, None} for side, wanted in sides):
                raise ValueError(f"{name} has shape {inputs[name].shape[1:]}, not {shape[1:]}")
        if self._call_rows is None:
            return self._run(inputs)
        return in_parts(self._run, inputs, size=self._call_rows)

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return one_by_one(self.run, batches)

    def _run(self, inputs: Feed) -> np.ndarray:
        (values,) = self._runner(**as_floats(inputs)).values()
        return values


def open_network(
    file: Path,
    *,
    device: str = "CPU",
    precision: str = "float32",
    many: bool = False,
    batch_size: int = 16,
    call_rows: int = CALL_ROWS,
) -> TfliteNetwork:
    """Opens a .tflite file.

    Args:
        precision: precision of the file; float16 files are computed in float32.
        many: run ``call_rows`` rows per call; otherwise inputs are run as given.
        batch_size: not used.
    Raises:
        ModelError: the file is missing or cannot be read.
        WrongUseError: the device is not the CPU.
    """
    check_device(device)
    check_file(file)
    try:
        with without_chatter():
            interpreter = Interpreter(model_path=str(file), num_threads=usable_cores())
            interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner()
    except (ValueError, RuntimeError) as error:
        raise unreadable(file, "LiteRT", error) from error
    computes = "int8" if precision == "int8" else "float32"
    return TfliteNetwork(runner, precision=computes, call_rows=call_rows if many else None)


def check_device(device: str) -> None:
    """WrongUseError if the device is not the CPU."""
    if device != "CPU":
        raise WrongUseError(f"LiteRT does not run on a {device} here. Give --device CPU.")


def probe() -> Probe:
    return Probe({"CPU": ""}, ("float32", "float16", "int8"))
