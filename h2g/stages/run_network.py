"""The trained networks of a run, opened with Keras."""

from __future__ import annotations

from h2g.engines.engine import Network, open_network
from h2g.folders.run import Run
from h2g.stages.stage import StageKind


def open_run_network(run: Run, kind: StageKind, *, device: str = "auto") -> Network:
    """Opens the network of one of a run's stages.

    Raises:
        RunError: the network is not trained yet.
        WrongUseError: a GPU is requested and there is none.
    """
    if kind.network is None:
        raise ValueError(f"the stage {kind.name} has no network")
    file = run.trained_models([kind.name])[kind.name]
    return open_network(file, engine="keras", device=device, many=kind.network.many)
