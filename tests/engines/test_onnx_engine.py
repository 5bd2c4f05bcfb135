from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from h2g.engines.engine import open_network
from h2g.errors import ModelError
from h2g.hardware import usable_cores
from tests.engines.engine_contract import PATCH_TOLERANCE, FastGraphsContract, patch_feed
from tests.engines.small_networks import SmallNetworks


class TestOnnxEngine(FastGraphsContract):
    engine = "onnxruntime"
    suffix = ".onnx"
    ahead = usable_cores() + 1


@pytest.mark.parametrize("streams", [1, 3])
def test_any_number_of_streams(small_networks: SmallNetworks, streams: int) -> None:
    file = small_networks.file("patch", ".onnx")
    network = open_network(file, engine="onnxruntime", many=True, streams=streams)
    patches = small_networks.patches
    batches = ((n, patch_feed(patches[n : n + 2])) for n in range(0, 20, 2))
    found = dict(network.run_each(batches))
    assert sorted(found) == list(range(0, 20, 2))
    for number, probabilities in found.items():
        expected = small_networks.expected[number : number + 2]
        np.testing.assert_allclose(probabilities, expected, atol=PATCH_TOLERANCE)


def test_an_opset_that_is_too_new(small_networks: SmallNetworks, tmp_path: Path) -> None:
    network = onnx.load(small_networks.file("patch", ".onnx"))
    network.opset_import[0].version = 99
    onnx.save(network, tmp_path / "patch.onnx")
    with pytest.raises(ModelError, match="patch.onnx: ONNX Runtime cannot load it .*opset"):
        open_network(tmp_path / "patch.onnx", engine="onnxruntime")
