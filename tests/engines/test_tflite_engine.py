from __future__ import annotations

import subprocess
import sys

import numpy as np

from h2g.engines.engine import open_network
from tests.engines.engine_contract import PATCH_TOLERANCE, ExportedContract, patch_feed
from tests.engines.small_networks import SmallNetworks


class TestTfliteEngine(ExportedContract):
    engine = "tflite"
    suffix = ".tflite"
    ahead = 1


def test_several_patches_per_call(small_networks: SmallNetworks) -> None:
    file = small_networks.file("patch", ".tflite")
    network = open_network(file, engine="tflite", many=True, call_rows=8)
    found = network.run(patch_feed(small_networks.patches))
    np.testing.assert_allclose(found, small_networks.expected, atol=PATCH_TOLERANCE)


def test_float16_files_are_computed_in_float32(small_networks: SmallNetworks) -> None:
    file = small_networks.file("patch", ".tflite")
    for asked, computed in (("float16", "float32"), ("int8", "int8")):
        assert open_network(file, engine="tflite", precision=asked).precision == computed


def test_the_library_prints_nothing(small_networks: SmallNetworks) -> None:
    file = str(small_networks.file("patch", ".tflite"))
    code = (
        "import numpy\nfrom pathlib import Path\n"
        "from h2g.engines.engine import PATCH_INPUT, open_network\n"
        f"network = open_network(Path({file!r}), engine='tflite', many=True)\n"
        "print(network.run({PATCH_INPUT: numpy.zeros((2, 32, 32, 3), 'uint8')}).shape)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("(2, 3)\n", "")
