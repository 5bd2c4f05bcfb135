from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import Feed, in_parts, open_network
from h2g.errors import WrongUseError


def test_an_engine_of_whole_slides_opens_no_network(tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match="--engine fast only segments whole slides"):
        open_network(tmp_path / "patch.onnx", engine="fast")


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (4, [4]), (9, [4, 4, 1])])
def test_parts_hold_the_same_rows_of_every_input(count: int, sizes: list[int]) -> None:
    given: list[int] = []

    def run(inputs: Feed) -> np.ndarray:
        given.append(len(inputs["a"]))
        return inputs["a"] + inputs["b"]

    feed = {"a": np.arange(count), "b": 100 * np.arange(count)}
    np.testing.assert_array_equal(in_parts(run, feed, size=4), 101 * np.arange(count))
    assert given == sizes
