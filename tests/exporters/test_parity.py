"""How far an export is from its reference, with networks whose difference is known."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable

import numpy as np
import pytest

from h2g.concurrency import Key
from h2g.engines.engine import (
    HEATMAP_INPUT,
    IMAGE_INPUT,
    PATCH_INPUT,
    Feed,
    Shape,
    one_by_one,
)
from h2g.errors import ModelError
from h2g.exporters.parity import check_differences, largest_difference

PATCH_PX, INPUT_PX = 4, 8
FIRST_SIZE = (20, 30)


class KnownNetwork:
    """Gives what the inputs' means are, plus an error; notes the shapes that it was given."""

    engine, device, precision = "known", "CPU", "float32"

    def __init__(self, error: float = 0.0, *, small_error: float = 0.0, classes: int = 2) -> None:
        self.error, self.small_error, self.classes = error, small_error, classes
        self.inputs: dict[str, Shape] = {}
        self.seen: list[dict[str, tuple[int, ...]]] = []

    def run(self, inputs: Feed) -> np.ndarray:
        self.seen.append({name: values.shape for name, values in inputs.items()})
        return self._patches(**inputs) if PATCH_INPUT in inputs else self._slide(**inputs)

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return one_by_one(self.run, batches)

    def _patches(self, input_0_patch: np.ndarray) -> np.ndarray:
        values = np.repeat(input_0_patch.mean(axis=(1, 2, 3))[:, None] / 255, self.classes, axis=1)
        values[-1, 0] += self.small_error if len(values) == 1 else self.error
        return values.astype(np.float32)

    def _slide(self, input_0_image: np.ndarray, input_1_heatmap: np.ndarray) -> np.ndarray:
        mean = input_0_image.mean() / 255 + input_1_heatmap.mean()
        values = np.full((1, INPUT_PX, INPUT_PX, self.classes), mean)
        is_first_size = input_0_image.shape[1:3] == FIRST_SIZE
        values[0, 3, 5, 1] += self.error if is_first_size else self.small_error
        return values.astype(np.float32)


def patches(count: int = 6) -> list[Feed]:
    rng = np.random.default_rng(0)
    shape = (1, PATCH_PX, PATCH_PX, 3)
    return [{PATCH_INPUT: rng.integers(0, 256, shape, np.uint8)} for _ in range(count)]


def slides(count: int = 1) -> list[Feed]:
    rng = np.random.default_rng(0)
    return [
        {
            IMAGE_INPUT: rng.integers(0, 256, (1, *FIRST_SIZE, 3), np.uint8),
            HEATMAP_INPUT: rng.random((1, 4, 6, 1), np.float32),
        }
        for _ in range(count)
    ]


FEEDS = {"patch": patches(), "refinement": slides()}
names = pytest.mark.parametrize("name", FEEDS)


@names
@pytest.mark.parametrize("error", [3e-3, -3e-3])
def test_the_largest_difference(name: str, error: float) -> None:
    found = largest_difference(name, KnownNetwork(error).run, KnownNetwork(), FEEDS[name])
    assert found == pytest.approx(3e-3, abs=1e-6)


@names
def test_equal_networks_do_not_differ(name: str) -> None:
    assert largest_difference(name, KnownNetwork().run, KnownNetwork(), FEEDS[name]) == 0.0


@names
def test_another_batch_or_picture_size_counts(name: str) -> None:
    """A graph that is right at one size only is found out."""
    network = KnownNetwork(small_error=0.5)
    found = largest_difference(name, network.run, KnownNetwork(), FEEDS[name])
    assert found == pytest.approx(0.5, abs=1e-6)


def test_patches_go_in_as_one_batch_and_one_by_one() -> None:
    network = KnownNetwork()
    largest_difference("patch", network.run, KnownNetwork(), patches(6))
    assert [shapes[PATCH_INPUT][0] for shapes in network.seen] == [6, 1, 1, 1]


def test_a_slide_goes_in_whole_and_as_a_part() -> None:
    network = KnownNetwork()
    largest_difference("refinement", network.run, KnownNetwork(), slides(1))
    assert [shapes[IMAGE_INPUT] for shapes in network.seen] == [(1, 20, 30, 3), (1, 15, 20, 3)]
    assert [shapes[HEATMAP_INPUT] for shapes in network.seen] == [(1, 4, 6, 1), (1, 3, 4, 1)]


def test_the_caller_may_change_inputs_for_the_exported_network() -> None:
    def on_brighter(feed: Feed) -> np.ndarray:
        return KnownNetwork().run({PATCH_INPUT: feed[PATCH_INPUT].astype(np.float32) + 51})

    found = largest_difference("patch", on_brighter, KnownNetwork(), patches())
    assert found == pytest.approx(51 / 255, abs=1e-6)


@names
@pytest.mark.parametrize("exact", [True, False])
def test_not_a_number_is_refused(name: str, exact: bool) -> None:
    feeds = {"patch": patches(), "refinement": slides(2)}[name]
    found = largest_difference(name, KnownNetwork(math.nan).run, KnownNetwork(), feeds)
    assert math.isnan(found)
    with pytest.raises(ModelError, match=f"{name} nan"):
        check_differences({name: found}, exact=exact, what="it", reference="keras")


def test_limits() -> None:
    check_differences({"patch": 1e-4, "refinement": 1e-3}, exact=True, what="it", reference="keras")
    check_differences({"patch": 0.4}, exact=False, what="int8", reference="keras")
    with pytest.raises(ModelError) as raised:
        check_differences(
            {"patch": 2e-4, "refinement": 1e-5},
            exact=True,
            what="onnx float32",
            reference="keras 3",
        )
    sentence = str(raised.value)
    for part in ("onnx float32", "keras 3", "patch 2.0e-04 (at most 1e-04)", "--no-check"):
        assert part in sentence


@names
def test_another_number_of_classes_is_a_sentence(name: str) -> None:
    with pytest.raises(ModelError, match=f"{name} network gives"):
        largest_difference(name, KnownNetwork(classes=3).run, KnownNetwork(), FEEDS[name])
