"""What tests share: a generated cohort, a tiny run and its bundle, and bundles for FAST."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from h2g.folders.bundle import Bundle
from h2g.folders.run import Run, open_run
from h2g.phantom import generate_cohort
from tests.shared_folders import shared_folder

if TYPE_CHECKING:
    from tests.engines.small_networks import SmallNetworks

# Files with a test of more than 1.5 seconds, as ``pytest --durations=0`` measures them.
SLOW_FILES = Path(__file__).with_name("slow_files.txt")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests that ``make check`` leaves out."""
    slow = set(SLOW_FILES.read_text("utf-8").split())
    tests = SLOW_FILES.parent
    for item in items:
        if item.path.relative_to(tests).with_suffix("").as_posix() in slow:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def own_logging() -> None:
    """No command's --quiet or --verbose outlives its test, or the fixture that gave it."""
    logging.getLogger("h2g").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def phantom_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``cohort.csv`` of 6 slides of 2 mm at 1.0 um/px: 3 train, 1 val, 2 test. Read only.

    Levels of 2048 to 2304 and 1024 to 1152 pixels a side.
    """

    def make(folder: Path) -> None:
        generate_cohort(folder, slides=6, size_mm=2.0, mpp=1.0, seed=7, jobs=1)

    return shared_folder(tmp_path_factory, "phantom_cohort", make) / "cohort.csv"


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of two networks with random weights beside its ``cohort.csv``; read only."""
    from tests.tiny_run import write_tiny_run

    return shared_folder(tmp_path_factory, "tiny_run", write_tiny_run) / "run"


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run as ONNX; read only."""
    from h2g.exporters.export import export_model
    from h2g.exporters.export_request import ExportRequest

    def make(folder: Path) -> None:
        export_model(tiny_run, folder, ExportRequest(("onnx",), check=False))

    return shared_folder(tmp_path_factory, "tiny_bundle", make)


@pytest.fixture(scope="session")
def trained_run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small run with all stages done; read only."""
    from tests.small_run import write_small_run

    def make(folder: Path) -> None:
        write_small_run(folder, phantom_cohort)

    return open_run(shared_folder(tmp_path_factory, "trained_run", make))


@pytest.fixture
def own_run(trained_run: Run, tmp_path: Path) -> Run:
    """A copy of the trained run, to be changed."""
    shutil.copytree(trained_run.path, tmp_path / "run")
    return open_run(tmp_path / "run")


@pytest.fixture(scope="session")
def small_networks(tmp_path_factory: pytest.TempPathFactory) -> SmallNetworks:
    """Two small networks in every format; read only."""
    from tests.engines.small_networks import SmallNetworks, write_networks

    return SmallNetworks(shared_folder(tmp_path_factory, "small_networks", write_networks))


@pytest.fixture(scope="session")
def small_bundle(small_networks: SmallNetworks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the formats onnx, openvino, tflite and fast; read only."""
    from tests.engines.small_networks import write_bundle

    return write_bundle(tmp_path_factory.mktemp("bundles") / "small", small_networks)


@pytest.fixture(scope="session")
def fast_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Two stages and two classes in FAST's format; read only."""
    from tests.fast_bundles import write_bundle

    folder = tmp_path_factory.mktemp("fast_bundle")
    return write_bundle(folder, classes=("background", "tumour"), refines=True, name="Drawn one")


@pytest.fixture(scope="session")
def fast_bundle_of_three(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same with three classes."""
    from tests.fast_bundles import write_bundle

    folder = tmp_path_factory.mktemp("fast_bundle_of_three")
    classes = ("background", "tumour", "immune cells")
    return write_bundle(folder, classes=classes, refines=True, name="Drawn three")
