"""The trained networks of a run, opened with Keras."""

from __future__ import annotations

from h2g.engines.engine import Network, open_network
from h2g.folders.run import Run
from h2g.stages.chain import NETWORKS


def open_run_network(run: Run, name: str, *, device: str = "auto") -> Network:
    """Opens a network of a run by the name of its stage.

    Raises:
        RunError: the network is not trained yet.
        WrongUseError: a GPU is requested and there is none.
    """
    file = run.trained_models([name])[name]
    return open_network(file, engine="keras", device=device, many=NETWORKS[name].many)
