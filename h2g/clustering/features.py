"""Features of drawn patches, kept batch by batch so that a stopped run goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from h2g.files import replacing, write_text
from h2g.progress import track

ABOUT = "about.json"


@dataclass(frozen=True, eq=False)
class DrawnPatches:
    """Patches of one batch.

    Attributes:
        pixels: (B, S, S, 3) uint8 RGB.
        labels: (B,) int32, 0 is background.
        slides: (B,) int32, positions in the list of slides they were drawn from.
        patches: (B,) int32, positions in their slides' patches.
    """

    pixels: np.ndarray
    labels: np.ndarray
    slides: np.ndarray
    patches: np.ndarray


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """(n, d) float32 features of patches; labels, slides and patches as in DrawnPatches, (n,)."""

    features: np.ndarray
    labels: np.ndarray
    slides: np.ndarray
    patches: np.ndarray


def open_cache(folder: Path, about: dict[str, Any]) -> None:
    """Makes the folder; features that were made in another way than ``about`` says are dropped."""
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    file = folder / ABOUT
    if not file.is_file() or file.read_text("utf-8") != text:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(file, text)


def missing_batches(folder: Path, count: int) -> list[int]:
    """Numbers below ``count`` of the batches whose features are not kept yet."""
    return [number for number in range(count) if not _batch_file(folder, number).is_file()]


def keep_features(
    folder: Path,
    batches: Iterable[tuple[int, DrawnPatches]],
    extract: Callable[[np.ndarray], np.ndarray],
    *,
    count: int,
) -> None:
    """Writes the features of batches, each with its number, as they come.

    Args:
        extract: (B, S, S, 3) uint8 -> (B, d) float32.
        count: of batches, for the progress bar.
    """
    for number, drawn in track(batches, "Features of patches", count):
        with replacing(_batch_file(folder, number)) as temporary:
            np.savez(
                temporary,
                features=extract(drawn.pixels).astype(np.float32),
                labels=drawn.labels,
                slides=drawn.slides,
                patches=drawn.patches,
            )


def read_features(folder: Path, count: int) -> FeatureTable:
    """The first ``count`` batches, one after the other."""
    columns: dict[str, list[np.ndarray]] = {}
    for number in range(count):
        with np.load(_batch_file(folder, number)) as arrays:
            for name in arrays.files:
                columns.setdefault(name, []).append(arrays[name])
    return FeatureTable(**{name: np.concatenate(parts) for name, parts in columns.items()})


def _batch_file(folder: Path, number: int) -> Path:
    return folder / f"batch_{number:05d}.npz"
