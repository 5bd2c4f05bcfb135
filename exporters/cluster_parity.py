"""Whether an exported cluster graph puts patches into the clusters that Keras puts them into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter

from h2g.clustering.graph import OUTPUT, centre_distances
from h2g.errors import ModelError
from h2g.exporters.samples import noise_patches, run_patches
from h2g.inference.engine import PATCH_INPUT
from h2g.inference.openvino_library import openvino
from h2g.models.startup import without_chatter
from h2g.runs import is_run, open_run

CHECKED_PATCHES = 64
# A patch is a tie when its second centre is farther away than its first by less than this share.
TIE = 1e-4
# (N, S, S, 3) float32 -> (N,) int32
Numbers = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ClearPatches:
    """Patches that are no ties: (N, S, S, 3) float32, RGB of 0..255, and their (N,) clusters."""

    pixels: np.ndarray
    clusters: np.ndarray


def clear_patches(file: Path, network: keras.Model) -> ClearPatches:
    """Patches of the run that a cluster graph is in, or noise where it is in none.

    Args:
        file: of ``network``, a bare cluster graph.
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
    # One cluster has no second: nothing is a tie.
    two = np.sort(np.pad(distances, ((0, 0), (0, 1)), constant_values=np.inf), axis=1)[:, :2]
    clear = two[:, 0] < (1 - TIE) * two[:, 1]
    return ClearPatches(pixels[clear].astype(np.float32), distances.argmin(axis=1)[clear])


def refuse_other_clusters(file: Path, patches: ClearPatches) -> None:
    """Raises ModelError when an exported graph puts a patch into another cluster.

    Args:
        file: .onnx, .xml or .tflite; it gets the patches as a batch, and the last by itself.
    """
    numbers = RUNTIMES[file.suffix](file)
    found = np.concatenate([numbers(patches.pixels[:-1]), numbers(patches.pixels[-1:])])
    if moved := int((found != patches.clusters).sum()):
        raise ModelError(
            f"{file.name}: {moved} of {len(found)} patches fall into another cluster than with "
            "Keras. Nothing was written. Another --opset or --format may do; --no-check exports "
            "it as it is."
        )


def _open_onnx(file: Path) -> Numbers:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run([OUTPUT], {PATCH_INPUT: pixels})[0]


def _open_openvino(file: Path) -> Numbers:
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    network = openvino.Core().compile_model(file, "CPU", hint)
    return lambda pixels: network({PATCH_INPUT: pixels})[OUTPUT]


def _open_tflite(file: Path) -> Numbers:
    with without_chatter():
        signature = Interpreter(str(file)).get_signature_runner()
    return lambda pixels: signature(**{PATCH_INPUT: pixels})[OUTPUT]


RUNTIMES: dict[str, Callable[[Path], Numbers]] = {
    ".onnx": _open_onnx,
    ".xml": _open_openvino,
    ".tflite": _open_tflite,
}
