"""h2g cluster: tissue types among a run's training patches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from h2g.cli.options import common, data_root_option
from h2g.cli.output import print_json, results
from h2g.errors import RunError

if TYPE_CHECKING:
    from h2g.folders.run import Run


@click.command("cluster")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--features",
    metavar="NAME|FILE",
    help="A backbone's name (vgg16, mobilenet_v2, ...), patch (RUN's own trained classifier), or "
    "the .keras file of a trained classifier.  [default: the recipe's, else vgg16]",
)
@click.option(
    "--weights",
    metavar="imagenet|none|FILE",
    help="Weights of a named backbone.  [default: the recipe's, else imagenet]",
)
@data_root_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(
    run: Path, features: str | None, weights: str | None, data_root: Path | None, as_json: bool
) -> None:
    """Find tissue types among the training patches of RUN, without labels.

    Patches are drawn as in training. Their features are standardised, reduced to principal
    components and clustered (k-means). RUN/clusters gets the frozen graph from patch to cluster
    (model.keras and saved_model), a table of the patches, and pictures. Training with loss cwce
    gives each cluster the same weight.

    ImageNet weights are downloaded. If this machine is offline, give their file (--weights), or
    use the features of a trained patch classifier (--features).

    \b
    Examples:
      h2g cluster run
      h2g cluster run --weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
      h2g cluster run --features other_run/patch/model.keras
    """
    from h2g.folders.run import open_run

    opened = open_run(run, data_root=data_root)

    from h2g.models.startup import start_keras

    start_keras()
    from h2g.recipes.sections import clustering_settings
    from h2g.stages.clusters.cluster_files import read_clusters
    from h2g.stages.clusters.clusters_stage import cluster_run

    cluster_run(opened, clustering_settings(opened.recipe, features=features, weights=weights))
    document = read_clusters(opened)
    _check_same_settings(document["settings"], run, features=features, weights=weights)
    if as_json:
        print_json(document)
    else:
        _print(document, opened)


def _check_same_settings(settings: dict[str, Any], run: Path, **given: str | None) -> None:
    """Existing clusters may have other settings than the options given."""
    for option, value in given.items():
        if value is not None and value != settings[option]:
            raise RunError(
                f"{run / 'clusters'}: these clusters have {option} {settings[option]}, not "
                f"{value}. Delete that folder to make new ones."
            )


def _print(document: dict[str, Any], run: Run) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for heading in ("cluster", "patches", "share", "slides", *run.recipe.class_names):
        table.add_column(heading, justify="right")
    for row in document["clusters"]:
        shares = (f"{share:.0%}" for share in row["classes"].values())
        cells = (row["cluster"], row["patches"], f"{row['share']:.0%}", row["slides"])
        table.add_row(*(str(cell) for cell in cells), *shares)
    console = results()
    console.print(table)
    console.print(
        f"{document['features']} features, {document['components']} components with "
        f"{sum(document['variance']):.0%} of the variance"
    )
    console.print(f"graph and pictures: {run.stage_folder('clusters')}", soft_wrap=True)
