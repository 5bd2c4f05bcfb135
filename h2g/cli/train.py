"""h2g train: trains all stages of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from h2g.cli.options import common, data_root_option
from h2g.cli.output import print_json, results

if TYPE_CHECKING:
    from h2g.training.resources import Strategy


@click.command("train")
@click.argument("cohort", type=click.Path(path_type=Path))
@click.option("--recipe", required=True, help="Recipe: a name from 'h2g recipes' or a YAML file.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder to write.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="STAGE",
    help="Only this stage of the recipe, e.g. patch; may be repeated.  [default: all]",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a value of the recipe."
)
@click.option(
    "--reuse-stage",
    "reused",
    multiple=True,
    metavar="RUN/STAGE",
    type=click.Path(path_type=Path),
    help="Copy the clusters, patch, patch/folds or heatmaps of another run instead of making them.",
)
@click.option(
    "--strategy",
    type=click.Choice(("none", "mirrored")),
    default="none",
    show_default=True,
    help="mirrored trains on all GPUs of this machine.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes or threads that read slides.  [default: one per core]",
)
@data_root_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(
    cohort: Path,
    recipe: str,
    out: Path,
    stages: tuple[str, ...],
    overrides: tuple[str, ...],
    reused: tuple[Path, ...],
    strategy: Strategy,
    jobs: int | None,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Train all stages of a recipe on the slides of COHORT (a CSV table).

    After an interruption, run the command again: it resumes after the last finished epoch.

    \b
    Examples:
      h2g train cohort/cohort.csv --recipe demo --out run
      h2g train cohort.csv --recipe mob-pw-unet --out run --set patch.weights=none
      h2g train cohort.csv --recipe demo --out slide-only --set refinement.inputs=image \\
          --reuse-stage run/patch --reuse-stage run/heatmaps
    """
    from h2g.stages.run_chain import training_summary
    from h2g.stages.train import train

    run = train(
        cohort,
        recipe,
        out=out,
        overrides=overrides,
        stages=stages,
        reuse=reused,
        strategy=strategy,
        jobs=jobs,
        data_root=data_root,
    )
    rows = training_summary(run)
    if as_json:
        print_json({"run": str(out), "stages": rows})
    else:
        _print(rows, out)


def _print(rows: list[dict[str, Any]], out: Path) -> None:
    from rich import box
    from rich.table import Table

    table = Table("stage", "seconds", "epochs", "best epoch", "at the best epoch", box=box.SIMPLE)
    for row in rows:
        scores = {name: value for name, value in row.items() if name.startswith("val_")}
        table.add_row(
            row["stage"],
            f"{row['seconds']:.0f}" if row["done"] else "not done",
            *(str(row.get(key, "")) for key in ("epochs", "best_epoch")),
            ", ".join(f"{name} {value:.3f}" for name, value in scores.items()),
        )
    console = results()
    console.print(table)
    console.print(f"run folder: {out}", soft_wrap=True)
