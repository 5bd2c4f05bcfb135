"""What tests of engines and of bundles share: two small networks in every format."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tests.inference.small_networks import SmallNetworks, write_bundle, write_networks


@pytest.fixture(scope="session")
def small_networks(tmp_path_factory: pytest.TempPathFactory) -> SmallNetworks:
    """Read only; made once, whatever the number of pytest-xdist workers."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own below this
    with (base / "small_networks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return write_networks(base / "small_networks")


@pytest.fixture(scope="session")
def small_bundle(small_networks: SmallNetworks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the formats onnx, openvino, tflite and fast; read only."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "small", small_networks)
