"""What engines say of the files that they open."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from h2g.bundle import Stage
from h2g.errors import ModelError, RunError
from h2g.inference.engine import (
    CHANNEL_INPUT,
    EXTENT_INPUT,
    FRAME_INPUT,
    HEATMAP_INPUT,
    IMAGE_INPUT,
    PATCH_INPUT,
    NetworkFiles,
)
from h2g.slides.fast_patches import PIXELS_A_CELL

# A refinement network may lack one of the two, not both.
INPUTS: dict[Stage, set[str]] = {
    "patch": {PATCH_INPUT},
    "refinement": {IMAGE_INPUT, HEATMAP_INPUT},
}
LONGEST_REASON = 200


def stage_file(files: NetworkFiles, stage: Stage) -> Path:
    """The file of a network.

    Raises:
        RunError: the model has no such network.
        ModelError: the file is not there.
    """
    file = files.patch if stage == "patch" else files.refinement
    if file is None:
        raise RunError(f"This engine was opened without the {stage} stage.")
    if not file.is_file():
        raise ModelError(f"{file}: there is no such model file. Export the run again.")
    return file


def check_inputs(file: Path, stage: Stage, names: Collection[str]) -> None:
    """ModelError when a network's inputs are not those of the deployed graphs."""
    known = {HEATMAP_INPUT if CHANNEL_INPUT.fullmatch(name) else name for name in names}
    if stage == "refinement":
        known -= {FRAME_INPUT, EXTENT_INPUT}
    if not known or not known <= INPUTS[stage]:
        raise ModelError(
            f"{file}: not a {stage} network of h2g: its inputs are named "
            f"{', '.join(sorted(names)) or 'nothing'}, not {', '.join(sorted(INPUTS[stage]))}. "
            "Give a bundle that 'h2g export' wrote."
        )


def refinement_inputs(
    shapes: Mapping[str, Sequence[int]], image: np.ndarray, heatmap: np.ndarray | None
) -> dict[str, np.ndarray]:
    """What a refinement graph takes, by name; each contiguous, as libraries read it where it is.

    Args:
        shapes: of the graph's inputs, by name.
        image: (H, W, 3), as it is to go in.
        heatmap: (h, w, C - 1), None for a graph of the image alone.
    Raises:
        RunError: the graph takes a heatmap, and there is none.
    """
    return {name: _refinement_input(name, shape, image, heatmap) for name, shape in shapes.items()}


def unreadable(file: Path, library: str, error: Exception) -> ModelError:
    """The error of a file that an engine's library refuses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1][:LONGEST_REASON] if lines else type(error).__name__
    return ModelError(
        f"{file}: {library} cannot load it ({reason}). Export the run again, or copy the bundle "
        "anew."
    )


def _refinement_input(
    name: str, shape: Sequence[int], image: np.ndarray, heatmap: np.ndarray | None
) -> np.ndarray:
    if name == IMAGE_INPUT:
        return np.ascontiguousarray(image[np.newaxis])
    if name == FRAME_INPUT:
        return np.zeros(shape, np.float32)
    if heatmap is None:
        raise RunError("This refinement network takes a heatmap, and there is no patch network.")
    if name == EXTENT_INPUT:
        rows, cols = heatmap.shape[:2]
        return np.zeros((1, rows * PIXELS_A_CELL, cols * PIXELS_A_CELL, 1), np.float32)
    channel = CHANNEL_INPUT.fullmatch(name)
    if channel:
        heatmap = heatmap[..., int(channel[1]) - 1 : int(channel[1])]
    return np.ascontiguousarray(heatmap[np.newaxis], np.float32)
