"""Export of the frozen graph from patch to cluster to files for other runtimes.

Each file is checked: it must assign patches to the same clusters as Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from h2g.clustering.graph import OUTPUT, centre_distances
from h2g.engines.engine import PATCH_INPUT, open_network
from h2g.errors import ModelError, RunError, WrongUseError
from h2g.exporters.bundle_folder import staging_folder, swap_in
from h2g.exporters.export_request import ExportRequest, wanted_formats
from h2g.exporters.formats import FILE_FORMATS, engine_of_files, write_network
from h2g.exporters.samples import noise_patches, run_patches
from h2g.folders.bundle import FORMATS, FilePrecision, Format, is_bundle
from h2g.folders.run import is_run, open_run
from h2g.models.deployment import deployed, load_network

CHECKED_PATCHES = 64
# A patch is a tie when its two nearest centres differ in distance by less than this share.
TIE = 1e-4


@dataclass(frozen=True)
class ClusterExport:
    """The files of one exported cluster graph.

    Attributes:
        files: names in the folder; a runtime opens the first.
        patches: number of patches checked to be in the same clusters as with Keras; 0 if unchecked.
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
    except ModelError:  # the export itself reports the reason
        return False


def cluster_formats(names: Sequence[str], precision: FilePrecision) -> tuple[Format, ...]:
    """The named formats that can hold a cluster graph; ``all`` names every one of them.

    Raises:
        WrongUseError: the format is FAST, whose pipelines show probabilities, or the precision is
            not float32: float16 moved 43 of 64 patches, on features of a random MobileNetV2.
    """
    if "fast" in names:
        raise WrongUseError(
            "--format fast: FAST's pipelines show probabilities, and a cluster graph gives "
            "numbers. Give onnx, openvino or tflite."
        )
    if precision != "float32":
        raise WrongUseError(
            f"--precision {precision}: z-scores magnify rounding errors of features, and many "
            "patches fall into other clusters. A cluster graph is exported only in float32."
        )
    if "all" in names:
        names = [name for name in FORMATS if name != "fast"]
    return wanted_formats(names, precision)


def export_clusters(file: Path, out: Path, request: ExportRequest) -> list[ClusterExport]:
    """Writes clusters.onnx, clusters.xml and .bin, clusters.tflite: every requested one, or none.

    Each maps ``input_0_patch`` (N, S, S, 3) float32, RGB of 0..255, to ``output_0_cluster`` (N,)
    int32.

    Args:
        file: the model.keras of ``h2g cluster``. In a run folder it is checked on patches of the
            run, elsewhere on noise.
        out: folder; files of these names are replaced, others stay.
    Raises:
        RunError: ``out`` is a run or a bundle, or the run's slides cannot be read.
        ModelError: a patch that is no tie falls into another cluster than with Keras.
    """
    if is_run(out) or is_bundle(out):
        raise RunError(f"{out}: this is a run or a bundle. Give --out a folder of its own.")
    network = load_network(file)
    graph = deployed(network)
    wanted = clear_patches(file, network) if request.check else None
    with staging_folder(out) as staging:
        done = []
        for format in request.formats:
            written = _write(graph, staging, format, opset=request.opset)
            if wanted is not None:
                check_clusters(written[0], wanted, format=format)
            count = 0 if wanted is None else len(wanted.clusters)
            done.append(ClusterExport(format, tuple(each.name for each in written), count))
        *others, last = [name for export in done for name in export.files]
        swap_in(staging, out, new=others, old=(), aside=staging / "aside", last=last)
    return done


def _write(graph: keras.Model, folder: Path, format: Format, *, opset: int) -> list[Path]:
    file = folder / f"clusters{FILE_FORMATS[format].suffix}"
    write_network(graph, file, format=format, opset=opset)
    return [file, file.with_suffix(".bin")] if format == "openvino" else [file]


@dataclass(frozen=True)
class ClearPatches:
    """Patches that are no ties: (N, S, S, 3) uint8 RGB, and their (N,) clusters."""

    pixels: np.ndarray
    clusters: np.ndarray


def clear_patches(file: Path, network: keras.Model) -> ClearPatches:
    """Patches of the run that a cluster graph belongs to, or noise if it belongs to none.

    Args:
        file: file of ``network``, a bare cluster graph.
    Raises:
        RunError: the run's slides cannot be read.
    """
    run_folder = file.resolve().parent.parent
    if is_run(run_folder):
        run = open_run(run_folder, slides_must_exist=False)
        pixels = run_patches(run, count=CHECKED_PATCHES)
    else:
        pixels = noise_patches(network.input_shape[1], count=CHECKED_PATCHES)
    distances = centre_distances(network, pixels)
    # With one cluster there is no second centre, so nothing is a tie.
    two = np.sort(np.pad(distances, ((0, 0), (0, 1)), constant_values=np.inf), axis=1)[:, :2]
    clear = two[:, 0] < (1 - TIE) * two[:, 1]
    return ClearPatches(pixels[clear], distances.argmin(axis=1)[clear])


def check_clusters(file: Path, patches: ClearPatches, *, format: Format) -> None:
    """Raises ModelError when an exported graph puts a patch into another cluster.

    Args:
        file: .onnx, .xml or .tflite; it is run on a batch and on a single patch.
    """
    engine = engine_of_files(format)
    # Not opened for many: such networks pad batches and cast the answers to float32.
    network = open_network(file, engine=engine, inputs=[PATCH_INPUT])
    found = np.concatenate(
        [network.run({PATCH_INPUT: part}) for part in (patches.pixels[:-1], patches.pixels[-1:])]
    )
    if moved := int((found != patches.clusters).sum()):
        raise ModelError(
            f"{file.name}: {moved} of {len(found)} patches fall into another cluster than with "
            "Keras. Nothing was written. Another --opset or --format may work; --no-check exports "
            "it anyway."
        )
