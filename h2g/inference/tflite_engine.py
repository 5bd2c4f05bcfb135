"""Runs exported networks with LiteRT, the runtime of TFLite files."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from functools import cached_property
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from h2g.bundle import Stage
from h2g.errors import WrongUseError
from h2g.hardware import usable_cores
from h2g.inference.engine import PATCH_INPUT, Key, NetworkFiles, in_parts, one_by_one
from h2g.inference.network_files import check_inputs, refinement_inputs, stage_file, unreadable
from h2g.models.startup import without_chatter

# What lies between two layers then stays in a core's cache; batches took more CPU seconds.
CALL_PATCHES = 1


class TfliteEngine:
    """Networks on a CPU; each is loaded when it is first used."""

    name = "tflite"

    def __init__(
        self,
        files: NetworkFiles,
        *,
        device: str = "CPU",
        precision: str = "float32",
        batch_size: int = 16,
        call_patches: int = CALL_PATCHES,
    ) -> None:
        """
        Args:
            files: .tflite.
            precision: that of the files.
            batch_size: of no use here.
            call_patches: patches a call of the network.
        Raises:
            WrongUseError: another device than the CPU.
        """
        refuse_device(device)
        self.device = device
        # Weights in float16 are computed in float32.
        self.precision = "int8" if precision == "int8" else "float32"
        self._files = files
        self._call_patches = call_patches

    @property
    def has_refinement(self) -> bool:
        return self._files.refinement is not None

    def load(self) -> None:
        """Loads all networks now."""
        if self._files.patch is not None:
            _ = self._patch
        if self._files.refinement is not None:
            _ = self._refinement

    def classify(self, patches: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) uint8 or float32 of 0..255 -> (N, C) float32, softmax."""
        fixed, *shape = self._patch.get_input_details()[PATCH_INPUT]["shape_signature"]
        if patches.shape[1:] != tuple(shape):
            # The library would stretch its graph to any size.
            raise ValueError(f"patches of {patches.shape[1:]}, not {tuple(shape)}")
        size = int(fixed) if fixed > 0 else self._call_patches
        return in_parts(self._run_patch, patches, size=size, classes=self._files.class_count)

    def classify_each(
        self, batches: Iterable[tuple[Key, np.ndarray]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return one_by_one(self.classify, batches)

    def refine(self, image: np.ndarray, heatmap: np.ndarray | None) -> np.ndarray:
        """(H, W, 3) uint8 and (h, w, C - 1) float32 -> (P, P, C) float32, softmax."""
        details = self._refinement.get_input_details()
        shapes = {name: each["shape"] for name, each in details.items()}
        inputs = refinement_inputs(shapes, image.astype(np.float32), heatmap)
        return _only(self._refinement(**inputs))[0]

    def _run_patch(self, patches: np.ndarray) -> np.ndarray:
        return _only(self._patch(**{PATCH_INPUT: patches.astype(np.float32, copy=False)}))

    @cached_property
    def _patch(self) -> Any:
        return self._open("patch")

    @cached_property
    def _refinement(self) -> Any:
        return self._open("refinement")

    def _open(self, stage: Stage) -> Any:
        """The signature of a file: inputs by name -> outputs by name."""
        file = stage_file(self._files, stage)
        try:
            with without_chatter():
                interpreter = Interpreter(model_path=str(file), num_threads=usable_cores())
                interpreter.allocate_tensors()
            runner = interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise unreadable(file, "LiteRT", error) from error
        check_inputs(file, stage, list(runner.get_input_details()))
        return runner


def refuse_device(device: str) -> None:
    """WrongUseError for another device than the CPU."""
    if device != "CPU":
        raise WrongUseError(f"LiteRT runs on the CPU here, not on a {device}. Give --device CPU.")


def _only(outputs: dict[str, np.ndarray]) -> np.ndarray:
    (values,) = outputs.values()
    return values
