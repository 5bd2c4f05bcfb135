from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from h2g.clustering.features import (
    DrawnPatches,
    keep_features,
    missing_batches,
    open_cache,
    read_features,
)

ABOUT = {"features": "vgg16", "batch_size": 2}


def batch(number: int) -> DrawnPatches:
    """Two patches of a plain colour: the batch's number, and that plus 100."""
    colours = np.array([number, 100 + number], np.uint8)
    return DrawnPatches(
        pixels=np.broadcast_to(colours[:, None, None, None], (2, 4, 4, 3)),
        labels=np.array([0, 1], np.int32),
        slides=np.array([number, number], np.int32),
        patches=np.array([5, 6], np.int32),
    )


def extract(pixels: np.ndarray) -> np.ndarray:
    return pixels.mean(axis=(1, 2)).astype(np.float32)


def keep(folder: Path, numbers: list[int]) -> None:
    keep_features(folder, ((n, batch(n)) for n in numbers), extract, count=len(numbers))


def test_a_stopped_run_goes_on_with_the_batches_that_are_missing(tmp_path):
    open_cache(tmp_path / "features", ABOUT)
    assert missing_batches(tmp_path / "features", 4) == [0, 1, 2, 3]

    def stopped(numbers):
        for number in numbers:
            if number == 2:
                raise KeyboardInterrupt
            yield number, batch(number)

    with pytest.raises(KeyboardInterrupt):
        keep_features(tmp_path / "features", stopped([1, 0, 2, 3]), extract, count=4)
    open_cache(tmp_path / "features", ABOUT)
    assert missing_batches(tmp_path / "features", 4) == [2, 3]
    keep(tmp_path / "features", [3, 2])
    table = read_features(tmp_path / "features", 4)
    # In the batches' order, whatever the order in which they came.
    np.testing.assert_array_equal(table.features[:, 0], [0, 100, 1, 101, 2, 102, 3, 103])
    assert table.features.dtype == np.float32
    assert table.labels.tolist() == [0, 1] * 4
    assert table.slides.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert table.patches.tolist() == [5, 6] * 4


def test_features_of_other_settings_are_dropped(tmp_path):
    open_cache(tmp_path / "features", ABOUT)
    keep(tmp_path / "features", [0, 1])
    open_cache(tmp_path / "features", {**ABOUT, "features": "mobilenet_v2"})
    assert missing_batches(tmp_path / "features", 2) == [0, 1]
    assert not list((tmp_path / "features").glob("*.npz"))
