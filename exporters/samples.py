"""Inputs to check an export with, in the form that prediction uses, from slides or noise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from h2g.engines.engine import IMAGE_CHANNELS, Feed
from h2g.errors import RunError, SlideError, TrainingError
from h2g.folders.bundle import Card, NetworkCard
from h2g.folders.cohort import Split
from h2g.folders.run import Run
from h2g.stages.chain import NETWORKS, network_names

NOISE_PATCHES = 64
# Side of a cell of a noise heatmap, in pixels of the noise image.
NOISE_CELL_PX = 16


@dataclass(frozen=True)
class Samples:
    """Inputs of every network, each of batch size 1: uint8 for pixels, else float32."""

    feeds: dict[str, list[Feed]]
    pixels: Literal["slides", "noise"]


def run_samples(run: Run, *, split: Split = "train", calibrate: bool = False) -> Samples:
    """Inputs from slides of a split, the same every time; fewer if it has fewer slides.

    Args:
        calibrate: draw as many as int8 calibration needs; a comparison needs fewer.
    Raises:
        RunError: the run is not prepared, or its slides are missing or cannot be read.
    """
    with _naming_no_check(run):
        if not any(row.slide.exists() for row in run.cohort.split(split)):
            raise SlideError(f"no slide of the {split} split exists where cohort.csv says")
        feeds = {}
        for name in network_names(run.recipe):
            kind = NETWORKS[name]
            feeds[name] = kind.samples(run, split, kind.sample_counts[calibrate])
        return Samples(feeds, "slides")


def run_patches(run: Run, *, count: int) -> np.ndarray:
    """(count, S, S, 3) uint8 RGB: patches of the training slides, as in run_samples.

    Raises:
        RunError: the run is not prepared, or its slides are missing or cannot be read.
    """
    from h2g.stages.patch.patch_samples import draw_patches

    with _naming_no_check(run):
        return draw_patches(run, "train", count)


def noise_patches(size_px: int, *, count: int) -> np.ndarray:
    """(count, size_px, size_px, 3) uint8 RGB: blotches of random colour under fine noise."""
    rng = np.random.default_rng(0)
    drawn = np.empty((count, size_px, size_px, 3), np.uint8)
    for patch in drawn:
        patch[:] = _noise(rng, size_px, size_px)
    return drawn


def noise_samples(card: Card) -> Samples:
    """Inputs of random colour blotches under fine noise, in the shapes that the networks take."""
    feeds = {name: _noise_feeds(network) for name, network in card.networks.items()}
    return Samples(feeds, "noise")


def _noise_feeds(network: NetworkCard) -> list[Feed]:
    if network.many:
        ((name, (_, side, *_rest)),) = network.inputs.items()
        patches = noise_patches(side or NOISE_CELL_PX, count=NOISE_PATCHES)
        return [{name: patch[np.newaxis]} for patch in patches]
    rng = np.random.default_rng(1)
    size_px = network.output[1] or NOISE_CELL_PX
    sizes = ((size_px, size_px * 5 // 4), (size_px * 4 // 3, size_px * 3 // 4))
    return [
        {
            name: _noise_input(rng, channels, height, width)[np.newaxis]
            for name, (*_, channels) in network.inputs.items()
        }
        for height, width in sizes
    ]


def _noise_input(
    rng: np.random.Generator, channels: int | None, height: int, width: int
) -> np.ndarray:
    """An image, or a heatmap without background."""
    if channels == IMAGE_CHANNELS:
        return _noise(rng, height, width)
    cells = (max(1, height // NOISE_CELL_PX), max(1, width // NOISE_CELL_PX))
    shares = rng.dirichlet(np.ones((channels or 1) + 1), cells)
    return np.ascontiguousarray(shares[..., 1:], np.float32)


def _noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    blotches = rng.integers(0, 256, (8, 8, 3)).astype(np.float32)
    smooth = cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    fine = rng.normal(0, 20, (height, width, 3))
    return np.clip(smooth + fine, 0, 255).astype(np.uint8)


@contextlib.contextmanager
def _naming_no_check(run: Run) -> Iterator[None]:
    try:
        yield
    except (SlideError, TrainingError, RunError) as error:
        raise RunError(
            f"{run.path}: exports are checked, and int8 is calibrated, on the run's own slides, "
            f"which is not possible: {str(error).rstrip('.')}. Put the slides back, or export "
            "floating point without a check: --no-check."
        ) from error
