from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from h2g.benchmarking.parity import compare_files
from h2g.errors import SlideError
from h2g.results.outputs import SlideFiles
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.tiff_files import write_heatmap, write_pyramid


def written(folder: Path, tumour: np.ndarray, labels: np.ndarray) -> SlideFiles:
    """The two files that are compared; ``tumour`` is a probability a cell."""
    files = SlideFiles(folder, "slide")
    values = np.stack([1 - tumour, tumour], axis=-1).astype(np.float32)
    write_heatmap(files["heatmap"], Heatmap(values, 256.0, Frame((1024, 1024), 0.25)))
    write_pyramid(files["segmentation"], labels.astype(np.uint8), mpp=8.0)
    return files


def test_by_hand(tmp_path: Path) -> None:
    tumour = np.full((4, 4), 0.5)
    labels = np.zeros((100, 100))
    labels[:, :50] = 1
    reference = written(tmp_path / "a", tumour, labels)
    tumour[1, 2] = 0.75
    labels[:10, 50:60] = 1  # 100 of 10,000 pixels more
    labels[50:, :50] = 2  # another tumour class: other pixels, the same tumour
    found = compare_files(written(tmp_path / "b", tumour, labels), reference)
    assert found.heatmap_difference == pytest.approx(0.25)
    assert found.equal_pixels == pytest.approx(1 - (100 + 2500) / 10_000)
    assert found.dice == pytest.approx(2 * 5000 / (5000 + 5100))


def test_the_same_prediction_and_two_without_tumour(tmp_path: Path) -> None:
    files = written(tmp_path / "a", np.zeros((4, 4)), np.zeros((100, 100)))
    found = compare_files(files, files)
    assert (found.heatmap_difference, found.equal_pixels, found.dice) == (0, 1, 1)


def test_predictions_of_two_slides_are_not_compared(tmp_path: Path) -> None:
    first = written(tmp_path / "a", np.zeros((4, 4)), np.zeros((100, 100)))
    second = written(tmp_path / "b", np.zeros((4, 4)), np.zeros((100, 90)))
    with pytest.raises(SlideError, match="Compare predictions of one slide and model"):
        compare_files(second, first)
