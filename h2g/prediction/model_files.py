"""What prediction knows of a model before its networks are open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from h2g.engines.engine import Network, open_network
from h2g.engines.specs import ENGINES
from h2g.recipes.preprocessing import Preprocessing
from h2g.stages.chain import NETWORKS


@dataclass(frozen=True)
class NetworkFile:
    """
    Attributes:
        inputs: names of what it is fed; None where they are not known before it is open.
    """

    path: Path
    inputs: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ModelFiles:
    """A model by its folder: a run or a bundle. Values only, so that it can be sent to a process.

    Attributes:
        recipe: its name; a bundle's own name.
        class_names: background first.
        sha256: of each file that holds weights, by its name.
        networks: by the names of their stages, in the order in which they run on a slide; none for
            an engine of whole slides.
        takes_patches: whether one of them runs on patches.
        engine, device: that run it.
        precision: that was asked for.
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
        """Whether its engine segments slides in a program of its own."""
        return ENGINES[self.engine].whole_slides

    def open_networks(self, batch_size: int) -> dict[str, Network]:
        """The networks, with what a first call builds.

        Raises:
            ModelError, WrongUseError: as h2g.engines.engine.open_network.
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
                network.run(_one_of(network))
        return networks

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for predictions to be in one folder."""
        return {
            "recipe": self.recipe,
            "classes": list(self.class_names),
            "preprocessing": self.preprocessing.model_dump(mode="json"),
            "sha256": self.sha256,
            # bfloat16 computes the files of float32.
            "asked_precision": self.precision,
        }


def _one_of(network: Network) -> dict[str, np.ndarray]:
    """One black patch for each input."""
    return {
        name: np.zeros((1, *(side or 1 for side in shape[1:])), np.uint8)
        for name, shape in network.inputs.items()
    }
