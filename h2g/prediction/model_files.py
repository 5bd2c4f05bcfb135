"""The values that prediction needs of a model before it opens the networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from h2g.engines.engine import Network, open_network
from h2g.engines.specs import ENGINES
from h2g.errors import WrongUseError
from h2g.recipes.preprocessing import AdaptiveSettings, Preprocessing
from h2g.stages.chain import NETWORKS


@dataclass(frozen=True)
class NetworkFile:
    """The file of one network.

    Attributes:
        inputs: names of its inputs; None if they are only known when it is open.
    """

    path: Path
    inputs: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ModelFiles:
    """The model in a run folder or a bundle; values only, so that it can be sent to a process.

    Attributes:
        recipe: name of the recipe, or of the bundle.
        class_names: background first.
        sha256: SHA-256 of each file that holds weights, by file name.
        networks: network files by stage name, in the order in which they run on a slide; empty if
            the engine segments whole slides.
        takes_patches: whether one of the networks runs on patches.
        engine, device: engine and device that run it.
        precision: the requested precision.
    """

    path: Path
    recipe: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    sha256: dict[str, str]
    networks: dict[str, NetworkFile]
    takes_patches: bool
    engine: str = "keras"
    device: str = "auto"
    precision: str = "float32"

    @property
    def runs_whole_slides(self) -> bool:
        """Whether its engine segments whole slides in a separate program."""
        return ENGINES[self.engine].whole_slides

    @property
    def adaptive(self) -> AdaptiveSettings | None:
        """The choice of the patches that are classified; None classifies all."""
        return None if self.runs_whole_slides else self.preprocessing.patch.adaptive

    def open_networks(self, batch_size: int) -> dict[str, Network]:
        """Opens the networks, and runs a first patch so that later calls are fast.

        Raises:
            ModelError, WrongUseError: see h2g.engines.engine.open_network.
        """
        networks = {
            name: open_network(
                file.path,
                engine=self.engine,
                device=self.device,
                precision=self.precision,
                many=NETWORKS[name].many,
                batch_size=batch_size,
                inputs=file.inputs,
            )
            for name, file in self.networks.items()
        }
        for name, network in networks.items():
            if NETWORKS[name].many:
                network.run(_black_patch(network))
        return networks

    @property
    def identity(self) -> dict[str, Any]:
        """Facts that must be equal for all predictions in one folder."""
        return {
            "recipe": self.recipe,
            "classes": list(self.class_names),
            "preprocessing": self.preprocessing.model_dump(
                mode="json", exclude={"patch": {"adaptive"}}
            ),
            "sha256": self.sha256,
            # bfloat16 and float32 have the same files.
            "asked_precision": self.precision,
            "patches": str(self.adaptive or "all"),
        }


def with_patches(model: ModelFiles, patches: str | None) -> ModelFiles:
    """The model that classifies all patches, or only those that matter.

    Args:
        patches: ``all``, ``adaptive``, ``adaptive:THRESHOLD`` or ``adaptive:THRESHOLD:DARKER``
            (h2g.recipes.preprocessing.AdaptiveSettings); None leaves it to the model.
    Raises:
        WrongUseError: the text is another, or the model cannot choose its patches.
    """
    if patches is None:
        return model
    adaptive = _adaptive(patches)
    if adaptive is not None and model.runs_whole_slides:
        raise WrongUseError(
            "--patches adaptive: FAST classifies every patch itself. Choose another --engine."
        )
    if adaptive is not None and not model.takes_patches:
        raise WrongUseError(
            f"{model.path}: this model has no patch network, so there are no patches to choose. "
            "Leave out --patches."
        )
    patch = model.preprocessing.patch.model_copy(update={"adaptive": adaptive})
    return replace(model, preprocessing=model.preprocessing.model_copy(update={"patch": patch}))


def _adaptive(text: str) -> AdaptiveSettings | None:
    """The settings in a value of --patches; None for ``all``."""
    if text == "all":
        return None
    way, *numbers = text.split(":")
    given = dict(zip(("threshold", "darker"), numbers, strict=False))
    try:
        if way != "adaptive" or len(numbers) > len(given):
            raise ValueError
        return AdaptiveSettings.model_validate_strings(given)
    except ValueError as error:
        raise WrongUseError(
            f"--patches {text}: give all, adaptive, adaptive:THRESHOLD with a threshold from 0 to "
            "1, or adaptive:THRESHOLD:DARKER with a difference of red above 0, such as "
            "adaptive:0.1:4."
        ) from error


def _black_patch(network: Network) -> dict[str, np.ndarray]:
    """One black patch per input."""
    return {
        name: np.zeros((1, *(side or 1 for side in shape[1:])), np.uint8)
        for name, shape in network.inputs.items()
    }
