"""Runs a run folder's networks with Keras; the only engine that needs TensorFlow."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from functools import cached_property
from typing import Any

import keras
import numpy as np

from h2g.errors import RunError, WrongUseError
from h2g.inference.engine import Key, NetworkFiles, one_by_one
from h2g.inference.network_files import refinement_inputs
from h2g.models.deployment import deployed_patch_classifier, deployed_refinement, load_network
from h2g.runs import Run

STAGES = ("patch", "refinement")


class KerasEngine:
    """A run's networks as deployed graphs, in float32; each is loaded when it is first used."""

    name = "keras"
    precision = "float32"

    def __init__(self, files: NetworkFiles, *, device: str = "auto", batch_size: int = 16) -> None:
        """
        Args:
            files: ``model.keras`` files, as training saves them.
            device: ``auto`` is a GPU where there is one.
        Raises:
            WrongUseError: a GPU is asked for and there is none.
        """
        found = "GPU" if "GPU" in found_devices() else "CPU"
        if device == "GPU" and found != device:
            raise WrongUseError(
                "Keras finds no GPU here: pip install 'h2g[gpu]' where there is one of NVIDIA, or "
                "give --device CPU."
            )
        self.device = found if device == "auto" else device
        self._files = files
        self._batch_size = batch_size

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
        size = self._batch_size
        parts = [
            self._classify_batch(patches[start : start + size])
            for start in range(0, len(patches), size)
        ]
        return (
            np.concatenate(parts) if parts else np.empty((0, self._files.class_count), np.float32)
        )

    def classify_each(
        self, batches: Iterable[tuple[Key, np.ndarray]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return one_by_one(self.classify, batches)

    def refine(self, image: np.ndarray, heatmap: np.ndarray | None) -> np.ndarray:
        """(H, W, 3) uint8 and (h, w, C - 1) float32 -> (P, P, C) float32, softmax."""
        shapes = {tensor.name: tensor.shape for tensor in self._refinement.inputs}
        inputs = list(refinement_inputs(shapes, image, heatmap).values())
        with self._on_device():
            batch = inputs if len(inputs) > 1 else inputs[0]
            return self._refinement.predict_on_batch(batch)[0]

    def _classify_batch(self, patches: np.ndarray) -> np.ndarray:
        # Every call has the same shape: TensorFlow traces the graph once.
        missing = self._batch_size - len(patches)
        full = np.pad(patches, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else patches
        with self._on_device():
            return self._patch.predict_on_batch(full)[: len(patches)]

    def _on_device(self) -> Any:
        return keras.device(f"{self.device.lower()}:0")

    @cached_property
    def _patch(self) -> keras.Model:
        if self._files.patch is None:
            raise RunError("This engine was opened without the patch stage.")
        return _without_jit(deployed_patch_classifier(load_network(self._files.patch)))

    @cached_property
    def _refinement(self) -> keras.Model:
        if self._files.refinement is None or self._files.input_px is None:
            raise RunError("This engine was opened without the refinement stage.")
        network = load_network(self._files.refinement)
        return _without_jit(deployed_refinement(network, self._files.input_px))


def open_keras_engine(
    run: Run,
    *,
    stages: Collection[str] = STAGES,
    batch_size: int = 16,
    device: str = "auto",
) -> KerasEngine:
    """The engine of a run's trained networks.

    Args:
        stages: which networks are wanted; those that the recipe has not are left out.
        batch_size: patches a call of the network.
        device: ``auto``, ``CPU`` or ``GPU``.
    Raises:
        RunError: a wanted network is not trained yet.
        WrongUseError: a GPU is asked for and there is none.
    """
    settings = run.recipe.refinement
    wanted = [stage for stage in run.recipe.network_stages if stage in stages]
    # One by one: the first that is missing is the one to train first.
    files = {stage: run.trained_models([stage])[stage] for stage in wanted}
    networks = NetworkFiles(
        patch=files.get("patch"),
        refinement=files.get("refinement"),
        input_px=settings.input_px if settings is not None else None,
        class_count=len(run.recipe.class_names),
    )
    return KerasEngine(networks, device=device, batch_size=batch_size)


def found_devices() -> dict[str, str]:
    """The CPU, and a GPU where there is one, with Keras's names of them."""
    gpus = keras.distribution.list_devices("gpu")
    return {"CPU": "", **({"GPU": ", ".join(gpus)} if gpus else {})}


def _without_jit(model: keras.Model) -> keras.Model:
    # XLA would compile anew for every size of slide.
    model.compile(jit_compile=False)
    return model
