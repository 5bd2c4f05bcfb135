"""How far an export is from its reference, with engines whose difference is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from h2g.engines.engine import Key, one_by_one
from h2g.errors import ModelError
from h2g.exporters.parity import LIMITS, largest_difference, refuse_differences
from h2g.exporters.samples import Samples

PATCH_PX, INPUT_PX = 4, 8


class KnownEngine:
    """Gives what the inputs' means are, plus an error; notes the sizes that it was given."""

    name, device, precision, has_refinement = "known", "CPU", "float32", True

    def __init__(self, error: float = 0.0, *, small_error: float = 0.0, classes: int = 2) -> None:
        self.error, self.small_error, self.classes = error, small_error, classes
        self.batches: list[int] = []
        self.images: list[tuple[int, ...]] = []

    def load(self) -> None:
        """Has no files."""

    def classify(self, patches: np.ndarray) -> np.ndarray:
        self.batches.append(len(patches))
        values = np.repeat(patches.mean(axis=(1, 2, 3))[:, None] / 255, self.classes, axis=1)
        values[-1, 0] += self.small_error if len(patches) == 1 else self.error
        return values.astype(np.float32)

    def classify_each(self, batches: Iterable[tuple[Key, np.ndarray]]) -> Iterator:
        return one_by_one(self.classify, batches)

    def refine(self, image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
        self.images.append((*image.shape, *heatmap.shape))
        values = np.full((INPUT_PX, INPUT_PX, self.classes), image.mean() / 255 + heatmap.mean())
        is_first_size = image.shape[:2] == (20, 30)
        values[3, 5, 1] += self.error if is_first_size else self.small_error
        return values.astype(np.float32)


def samples(*, patches: int = 6, fields: int = 1) -> Samples:
    rng = np.random.default_rng(0)
    return Samples(
        rng.integers(0, 256, (patches, PATCH_PX, PATCH_PX, 3), dtype=np.uint8),
        tuple(
            (
                rng.integers(0, 256, (20, 30, 3), dtype=np.uint8),
                rng.random((4, 6, 1)).astype(np.float32),
            )
            for _ in range(fields)
        ),
        "noise",
    )


@pytest.mark.parametrize("error", [3e-3, -3e-3])
def test_the_largest_difference_by_stage(error: float) -> None:
    found = largest_difference(KnownEngine(error), KnownEngine(), samples())
    assert found == pytest.approx({"patch": 3e-3, "refinement": 3e-3}, abs=1e-6)


def test_equal_engines_do_not_differ() -> None:
    found = largest_difference(KnownEngine(), KnownEngine(), samples())
    assert found == {"patch": 0.0, "refinement": 0.0}


def test_another_batch_or_image_size_counts() -> None:
    """A graph that is right at one size only is found out."""
    found = largest_difference(KnownEngine(small_error=0.5), KnownEngine(), samples())
    assert found == pytest.approx({"patch": 0.5, "refinement": 0.5}, abs=1e-6)
    engine = KnownEngine()
    largest_difference(engine, KnownEngine(), samples())
    assert len(set(engine.batches)) == 2
    assert len({sizes[:2] for sizes in engine.images}) == 2
    assert len({sizes[3:5] for sizes in engine.images}) == 2


def test_a_stage_without_samples_is_left_out() -> None:
    assert set(largest_difference(KnownEngine(), KnownEngine(), samples(patches=0))) == {
        "refinement"
    }
    assert set(largest_difference(KnownEngine(), KnownEngine(), samples(fields=0))) == {"patch"}


@pytest.mark.parametrize("stage", ["patch", "refinement"])
def test_not_a_number_is_refused(stage: str) -> None:
    found = largest_difference(KnownEngine(math.nan), KnownEngine(), samples(fields=2))
    assert math.isnan(found[stage])
    for limits in (LIMITS, None):
        with pytest.raises(ModelError, match=f"{stage} nan"):
            refuse_differences({stage: found[stage]}, limits, what="it", reference="keras")


def test_limits() -> None:
    refuse_differences({"patch": 1e-4, "refinement": 1e-3}, LIMITS, what="it", reference="keras")
    refuse_differences({"patch": 0.4}, None, what="int8", reference="keras")
    with pytest.raises(ModelError) as raised:
        refuse_differences(
            {"patch": 2e-4, "refinement": 1e-5}, LIMITS, what="onnx float32", reference="keras 3"
        )
    sentence = str(raised.value)
    for part in ("onnx float32", "keras 3", "patch 2.0e-04 (at most 1e-04)", "--no-check"):
        assert part in sentence


def test_another_number_of_classes_is_a_sentence() -> None:
    with pytest.raises(ModelError, match="patch network gives"):
        largest_difference(KnownEngine(classes=3), KnownEngine(), samples())
