from __future__ import annotations

import subprocess
import sys

import numpy as np

from h2g.engines.tflite_engine import TfliteEngine
from tests.engines.engine_contract import PATCH_TOLERANCE, EngineContract
from tests.engines.small_networks import SmallNetworks


class TestTfliteEngine(EngineContract):
    engine = TfliteEngine
    name = "tflite"
    suffix = ".tflite"
    ahead = 1


def test_several_patches_a_call(small_networks: SmallNetworks) -> None:
    engine = TfliteEngine(small_networks.files(".tflite"), call_patches=8)
    found = engine.classify(small_networks.patches)
    np.testing.assert_allclose(found, small_networks.expected, atol=PATCH_TOLERANCE)


def test_float16_files_are_computed_in_float32(small_networks: SmallNetworks) -> None:
    files = small_networks.files(".tflite")
    assert TfliteEngine(files, precision="float16").precision == "float32"
    assert TfliteEngine(files, precision="int8").precision == "int8"


def test_the_library_says_nothing_on_the_terminal(small_networks: SmallNetworks) -> None:
    file = str(small_networks.files(".tflite").patch)
    code = (
        "import sys, numpy\nfrom pathlib import Path\n"
        "from h2g.engines.engine import NetworkFiles\n"
        "from h2g.engines.tflite_engine import TfliteEngine\n"
        f"files = NetworkFiles(Path({file!r}), None, None, 3)\n"
        "print(TfliteEngine(files).classify(numpy.zeros((2, 32, 32, 3), 'uint8')).shape)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("(2, 3)\n", "")
