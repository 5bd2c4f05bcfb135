"""The frozen graph from patch to cluster as files for other runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from h2g.bundle import FORMATS, FilePrecision, Format, is_bundle
from h2g.clustering.graph import OUTPUT
from h2g.errors import ModelError, RunError, WrongUseError
from h2g.exporters.cluster_parity import clear_patches, refuse_other_clusters
from h2g.exporters.formats import SUFFIXES, write_network
from h2g.exporters.request import ExportRequest, wanted_formats
from h2g.exporters.staging import staging_folder, swap_in
from h2g.models.deployment import deployed_patch_classifier, load_network
from h2g.runs import is_run


@dataclass(frozen=True)
class ClusterExport:
    """
    Attributes:
        files: in the folder; the first is the one that a runtime opens.
        patches: that were found to fall into the same clusters as with Keras; 0 unchecked.
    """

    format: Format
    files: tuple[str, ...]
    patches: int


def is_cluster_graph(path: Path) -> bool:
    """Whether a file is the model.keras of ``h2g cluster``."""
    if path.suffix != ".keras" or not path.is_file():
        return False
    try:
        return load_network(path).output_names == [OUTPUT]
    except ModelError:  # what is wrong with it is told where it is exported
        return False


def cluster_formats(names: Sequence[str], precision: FilePrecision) -> tuple[Format, ...]:
    """The formats by name that can hold a cluster graph; ``all`` is every one of them.

    Raises:
        WrongUseError: FAST, whose pipelines show probabilities, or another precision than
            float32: float16 moved 43 of 64 patches, on features of a random MobileNetV2.
    """
    if "fast" in names:
        raise WrongUseError(
            "--format fast: FAST's pipelines show probabilities, and a cluster graph gives "
            "numbers. Give onnx, openvino or tflite."
        )
    if precision != "float32":
        raise WrongUseError(
            f"--precision {precision}: z-scores magnify what rounding does to features, and many "
            "patches fall into other clusters. A cluster graph is exported in float32 alone."
        )
    if "all" in names:
        names = [name for name in FORMATS if name != "fast"]
    return wanted_formats(names, precision)


def export_clusters(file: Path, out: Path, request: ExportRequest) -> list[ClusterExport]:
    """Writes clusters.onnx, clusters.xml and .bin, clusters.tflite: all asked for, or nothing.

    Each is ``input_0_patch`` (N, S, S, 3) float32, RGB of 0..255 -> ``output_0_cluster`` (N,)
    int32.

    Args:
        file: the model.keras of ``h2g cluster``; in its run's folder the check is on patches of
            the run, elsewhere on noise.
        out: files of these names are replaced there, others stay.
    Raises:
        RunError: ``out`` is a run or a bundle, or the run's slides cannot be read.
        ModelError: a patch that is no tie falls into another cluster than with Keras.
    """
    if is_run(out) or is_bundle(out):
        raise RunError(f"{out}: this is a run or a bundle. Give --out a folder of its own.")
    network = load_network(file)
    graph = deployed_patch_classifier(network)
    wanted = clear_patches(file, network) if request.check else None
    with staging_folder(out) as staging:
        done = []
        for format in request.formats:
            written = _write(graph, staging, format, opset=request.opset)
            if wanted is not None:
                refuse_other_clusters(written[0], wanted)
            count = 0 if wanted is None else len(wanted.clusters)
            done.append(ClusterExport(format, tuple(each.name for each in written), count))
        *others, last = [name for export in done for name in export.files]
        swap_in(staging, out, new=others, old=(), aside=staging / "aside", last=last)
    return done


def _write(graph: keras.Model, folder: Path, format: Format, *, opset: int) -> list[Path]:
    file = folder / f"clusters{SUFFIXES[format]}"
    write_network(graph, file, format=format, opset=opset)
    return [file, file.with_suffix(".bin")] if format == "openvino" else [file]
