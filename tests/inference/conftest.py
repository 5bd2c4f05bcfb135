"""What tests of engines and of bundles share: two small networks in every format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference.small_networks import SmallNetworks, write_bundle, write_networks
from tests.shared_folders import shared_folder


@pytest.fixture(scope="session")
def small_networks(tmp_path_factory: pytest.TempPathFactory) -> SmallNetworks:
    """Read only."""
    return SmallNetworks(shared_folder(tmp_path_factory, "small_networks", write_networks))


@pytest.fixture(scope="session")
def small_bundle(small_networks: SmallNetworks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the formats onnx, openvino, tflite and fast; read only."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "small", small_networks)
