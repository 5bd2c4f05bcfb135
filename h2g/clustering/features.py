"""Features of drawn patches, saved batch by batch so that a stopped run can resume."""

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
        slides: (B,) int32, indices into the list of slides.
        patches: (B,) int32, indices into the patches of their slides.
    """

    pixels: np.ndarray
    labels: np.ndarray
    slides: np.ndarray
    patches: np.ndarray


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of n patches, (n, d) float32; the (n,) other columns are as in DrawnPatches."""

    features: np.ndarray
    labels: np.ndarray
    slides: np.ndarray
    patches: np.ndarray


def open_cache(folder: Path, about: dict[str, Any]) -> None:
    """Makes the folder, and deletes features whose description differs from ``about``."""
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    file = folder / ABOUT
    if not file.is_file() or file.read_text("utf-8") != text:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(file, text)


def missing_batches(folder: Path, count: int) -> list[int]:
    """Numbers below ``count`` of the batches without saved features."""
    return [number for number in range(count) if not _batch_file(folder, number).is_file()]


def keep_features(
    folder: Path,
    batches: Iterable[tuple[int, DrawnPatches]],
    extract: Callable[[np.ndarray], np.ndarray],
    *,
    count: int,
) -> None:
    """Extracts and saves the features of numbered batches.

    Args:
        extract: (B, S, S, 3) uint8 -> (B, d) float32.
        count: number of batches, for the progress bar.
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
    """The features of the first ``count`` batches, in order."""
    columns: dict[str, list[np.ndarray]] = {}
    for number in range(count):
        with np.load(_batch_file(folder, number)) as arrays:
            for name in arrays.files:
                columns.setdefault(name, []).append(arrays[name])
    return FeatureTable(**{name: np.concatenate(parts) for name, parts in columns.items()})


def _batch_file(folder: Path, number: int) -> Path:
    return folder / f"batch_{number:05d}.npz"
