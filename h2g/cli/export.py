"""h2g export: converts a trained model to a bundle that runs without TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from h2g.cli.options import common
from h2g.cli.output import print_json, results
from h2g.engines.specs import EXPORT_FORMATS
from h2g.errors import WrongUseError
from h2g.fast_versions import FAST_VERSIONS, FastName

if TYPE_CHECKING:
    from h2g.exporters.export import Exported
    from h2g.exporters.export_request import ExportRequest
    from h2g.folders.bundle import Bundle, Check, FilePrecision

FAST_FOLDER = "~/fastpathology"


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    multiple=True,
    required=True,
    type=click.Choice([*EXPORT_FORMATS, "all"]),
    help="May be repeated; all means every format that supports the precision.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The bundle's folder.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="float16 halves the files but computes in float32; int8 is calibrated on training slides.",
)
@click.option("--opset", type=int, default=17, show_default=True, help="ONNX opset, 13 to 18.")
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Reload every export in its runtime and compare it with Keras on slides of RUN.",
)
@click.option("--force", is_flag=True, help="Keep an int8 export that loses more than 0.01 Dice.")
@click.option(
    "--install",
    is_flag=False,
    flag_value=FAST_FOLDER,
    metavar="[DIR]",
    help=f"With --format fast: install the pipelines for FastPathology.  [{FAST_FOLDER}]",
)
@click.option(
    "--fast-version",
    type=click.Choice(list(FAST_VERSIONS)),
    help="With --format fast: 4.9 for FastPathology 1.1.3, 4.15 for newer ones and runPipeline. "
    " [default: the version that RUN was trained for, else 4.9]",
)
@click.option(
    "--accept-preprocessing-change",
    is_flag=True,
    help="Export a model for FAST that was trained with another preprocessing profile.",
)
@click.option("--recipe", help="Recipe of a single .keras file: a name or a YAML file.")
@click.option("--name", help="Name shown in FastPathology.  [default: the recipe's]")
@click.option("--author", metavar="TEXT", help="Author of the weights, for the model card.")
@click.option(
    "--licence",
    metavar="TEXT",
    help="Licence of the weights: an SPDX name or words.  [default: none stated]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common
def command(
    run: Path,
    formats: tuple[str, ...],
    out: Path,
    precision: FilePrecision,
    opset: int,
    check: bool,
    force: bool,
    install: str | None,
    fast_version: FastName | None,
    accept_preprocessing_change: bool,
    recipe: str | None,
    name: str | None,
    author: str | None,
    licence: str | None,
    as_json: bool,
) -> None:
    """Write the networks of RUN as a bundle: files that run without TensorFlow, and a card.

    RUN is a run folder or a .keras file. For --format openvino it may also be a bundle with ONNX
    networks. If OUT holds a bundle of the same networks, the new formats are added to it. Intact
    exports with the same settings are kept, so an interrupted export can be resumed. The cluster
    graph of 'h2g cluster', RUN/clusters/model.keras, becomes clusters.onnx, .xml or .tflite, and
    assigns patches to the same clusters as in Keras.

    Each export is reloaded in its runtime and compared with Keras on slides of RUN. A float32
    export may differ by 1e-4 (patch) or 1e-3 (refinement). An int8 export may lose 0.01 Dice on
    the validation slides. An export beyond these limits is refused, and OUT keeps its earlier
    export of that format.

    \b
    Examples:
      h2g export run --format onnx --format openvino --out bundle
      h2g export run --format openvino --precision int8 --out bundle
      h2g export run --format fast --out bundle --install
      h2g export run --format fast --out bundle --author "Jane Doe" --licence CC-BY-4.0
      h2g export run --format fast --out bundle --accept-preprocessing-change
      h2g export model.keras --recipe demo --format tflite --out bundle
      h2g export bundle --format openvino --out converted
      h2g export run/clusters/model.keras --format all --out clusters

    \b
    Then:
      h2g predict bundle slide.svs --out predictions
    """
    from h2g.exporters.export_request import ExportRequest, one_line, wanted_formats

    request = ExportRequest(
        formats=wanted_formats(formats, precision),
        precision=precision,
        opset=opset,
        check=check,
        force=force,
        fast_version=fast_version,
        accept_preprocessing_change=accept_preprocessing_change,
        author=one_line("--author", author),
        licence=one_line("--licence", licence),
    )
    if install is not None and "fast" not in request.formats:
        raise WrongUseError("--install copies FAST pipelines; add --format fast.")
    if fast_version is not None and "fast" not in request.formats:
        raise WrongUseError("--fast-version is about FAST pipelines; add --format fast.")

    from h2g.models.startup import start_keras

    start_keras()
    from h2g.exporters.clusters import is_cluster_graph
    from h2g.exporters.export import export_model

    if is_cluster_graph(run):
        options = {
            "--install": install,
            "--recipe": recipe,
            "--name": name,
            "--author": author,
            "--licence": licence,
        }
        given = [option for option, value in options.items() if value is not None]
        _export_clusters(run, out, formats, request, given, as_json)
        return
    bundle, exported = export_model(run, out, request, recipe=recipe, name=name)
    installed = _install(bundle, install) if install is not None else []
    if as_json:
        document: dict[str, Any] = {
            "bundle": str(out),
            "formats": [_row(each) for each in exported],
        }
        if install is not None:
            document["installed"] = [str(path) for path in installed]
        print_json(document)
    else:
        _print(bundle, exported, installed)


def _export_clusters(
    file: Path,
    out: Path,
    names: tuple[str, ...],
    request: ExportRequest,
    given: list[str],
    as_json: bool,
) -> None:
    from h2g.exporters.clusters import cluster_formats, export_clusters

    if given:
        raise WrongUseError(f"{file}: a cluster graph does not accept {' or '.join(given)}.")
    formats = cluster_formats(names, request.precision)
    exported = export_clusters(file, out, dataclasses.replace(request, formats=formats))
    if as_json:
        rows = [dataclasses.asdict(each) for each in exported]
        print_json({"folder": str(out), "formats": rows})
        return
    for each in exported:
        checked = f"{each.patches} patches in the same clusters as with Keras"
        click.echo(f"{each.format:9} {checked if each.patches else 'not checked'}")
        click.echo(f"          {', '.join(str(out / name) for name in each.files)}")


def _install(bundle: Bundle, folder: str) -> list[Path]:
    from h2g.exporters.fast_install import install

    return install(bundle, Path(folder).expanduser())


def _row(exported: Exported) -> dict[str, Any]:
    export = exported.export
    differences = export.check.max_difference if export.check else {}
    return {
        "format": export.format,
        "precision": export.precision,
        "files": list(export.files),
        "max_difference": {name: differences.get(name) for name in export.networks},
        "checked": export.check is not None,
        "was_there": exported.seconds is None,
    }


def _print(bundle: Bundle, exported: list[Exported], installed: list[Path]) -> None:
    from rich.table import Table

    table = Table(title=f"{bundle.card.name}: largest difference of a probability")
    table.add_column("format")
    table.add_column("precision")
    networks = tuple(bundle.card.networks)
    for header in ("MB", *networks, "seconds"):
        table.add_column(header, justify="right")
    table.add_column("checked with", overflow="fold")
    for each in exported:
        export, check = each.export, each.export.check
        # Two names may share one file.
        stats = {
            stat.st_ino: stat for name in export.files for stat in [(bundle.path / name).stat()]
        }
        table.add_row(
            export.format,
            export.precision,
            f"{sum(stat.st_size for stat in stats.values()) / 1e6:.1f}",
            *(_difference(check, name) for name in networks),
            "kept" if each.seconds is None else f"{each.seconds:.1f}",
            f"{check.engine} on {check.pixels}" if check else "not checked",
        )
    console = results()
    console.print(table)
    for each in exported:
        cost = each.export.cost
        if cost is not None and cost.dice is not None:
            dice = cost.dice
            console.print(
                f"{each.export.format} int8: Dice on the validation slides {dice['float32']:.3f} "
                f"in float32, {dice['int8']:.3f} in int8"
            )
    for path in installed:
        console.print(f"installed: {path}", soft_wrap=True)
    console.print(f"bundle: {bundle.path}", soft_wrap=True)


def _difference(check: Check | None, network: str) -> str:
    value = check.max_difference.get(network) if check else None
    return "" if value is None else f"{value:.1e}"
