"""The trained networks of a run, opened with Keras."""

from __future__ import annotations

from h2g.engines.engine import Network, open_network
from h2g.folders.run import Run
from h2g.stages.chain import NETWORKS


def open_run_network(run: Run, name: str, *, device: str = "auto") -> Network:
    """A network of a run by its stage's name.

    Raises:
        RunError: it is not trained yet.
        WrongUseError: a GPU is asked for and there is none.
    """
    file = run.trained_models([name])[name]
    return open_network(file, engine="keras", device=device, many=NETWORKS[name].many)
