"""The files of the cluster stage."""

from __future__ import annotations

import json
from typing import Any

from h2g.errors import RunError
from h2g.folders.run import Run
from h2g.texts import shell_command

FOLDER = "clusters"


def read_clusters(run: Run) -> dict[str, Any]:
    """The contents of clusters.json.

    These are the settings, the components' shares of the variance, and one row per cluster
    (h2g.stages.clusters.cluster_tables.describe_clusters).

    Raises:
        RunError: the run has no clusters.
    """
    file = run.stage_folder(FOLDER) / "clusters.json"
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{run.path}: this run has no clusters. Find them: "
            f"{shell_command('h2g', 'cluster', run.path)}"
        ) from error
