"""What every engine of exported networks must do; a test class for each inherits it."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import Engine, NetworkFiles
from h2g.errors import ModelError, RunError
from h2g.hardware import cuda_gpus
from tests.engines.small_networks import PATCH_PX, SmallNetworks

PATCH_TOLERANCE, FIELD_TOLERANCE = 1e-4, 1e-3
NOTHING = np.empty((0, PATCH_PX, PATCH_PX, 3), np.uint8)


class EngineContract:
    """Attributes:
    suffix: of the files that the engine opens.
    ahead: batches that it may take before it gives the first back.
    """

    engine: type
    name: str
    suffix: str
    ahead: int

    def open(self, files: NetworkFiles, **options: object) -> Engine:
        return self.engine(files, **options)

    @pytest.fixture
    def opened(self, small_networks: SmallNetworks) -> Engine:
        return self.open(small_networks.files(self.suffix))

    @pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 21])
    def test_any_number_of_patches(
        self, small_networks: SmallNetworks, opened: Engine, count: int
    ) -> None:
        found = opened.classify(small_networks.patches[:count])
        assert found.shape == (count, 3)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, small_networks.expected[:count], atol=PATCH_TOLERANCE)

    def test_patches_of_floats(self, small_networks: SmallNetworks, opened: Engine) -> None:
        """Not rounded to whole numbers."""
        patches = small_networks.patches.astype(np.float32)
        found = opened.classify(patches)
        np.testing.assert_allclose(found, small_networks.expected, atol=PATCH_TOLERANCE)
        patches[:] = 0.7
        dark = opened.classify(patches)
        assert np.abs(dark - opened.classify(np.zeros_like(patches, np.uint8))).max() > 1e-4

    def test_patches_that_are_part_of_a_larger_array(
        self, small_networks: SmallNetworks, opened: Engine
    ) -> None:
        wide = np.repeat(small_networks.patches[:4], 2, axis=2)
        wide.flags.writeable = False
        expected = small_networks.expected[:4]
        np.testing.assert_allclose(opened.classify(wide[:, :, ::2]), expected, atol=PATCH_TOLERANCE)

    def test_slides_of_any_size(self, small_networks: SmallNetworks, opened: Engine) -> None:
        assert opened.has_refinement
        found = [opened.refine(*field) for field in small_networks.fields]
        for probabilities, expected in zip(found, small_networks.expected_fields, strict=True):
            assert probabilities.shape == expected.shape
            assert probabilities.dtype == np.float32
            np.testing.assert_allclose(probabilities, expected, atol=FIELD_TOLERANCE)

    def test_each_batch_comes_back_with_its_key(
        self, small_networks: SmallNetworks, opened: Engine
    ) -> None:
        patches, expected = small_networks.patches, small_networks.expected
        bounds = {"first": (0, 4), "one": (4, 5), "none": (5, 5), "many": (0, 21), "last": (18, 21)}
        batches = ((key, patches[first:last]) for key, (first, last) in bounds.items())
        found = list(opened.classify_each(batches))
        assert sorted(key for key, _ in found) == sorted(bounds)
        for key, probabilities in found:
            first, last = bounds[key]
            assert probabilities.shape == (last - first, 3)
            np.testing.assert_allclose(probabilities, expected[first:last], atol=PATCH_TOLERANCE)

    def test_no_batches_at_all(self, opened: Engine) -> None:
        assert list(opened.classify_each([])) == []
        assert opened.classify(NOTHING).shape == (0, 3)

    def test_batches_that_are_read_slowly(
        self, small_networks: SmallNetworks, opened: Engine
    ) -> None:
        def slowly() -> Iterator[tuple[int, np.ndarray]]:
            for number in range(5):
                time.sleep(0.02)
                yield number, small_networks.patches[number : number + 2]

        found = dict(opened.classify_each(slowly()))
        assert sorted(found) == list(range(5))
        for number, probabilities in found.items():
            np.testing.assert_allclose(
                probabilities, small_networks.expected[number : number + 2], atol=PATCH_TOLERANCE
            )

    def test_few_batches_are_taken_ahead(
        self, small_networks: SmallNetworks, opened: Engine
    ) -> None:
        taken = 0

        def counted() -> Iterator[tuple[int, np.ndarray]]:
            nonlocal taken
            for taken in range(1, 101):
                yield taken, small_networks.patches[:3]

        most = 0
        for given, _ in enumerate(opened.classify_each(counted()), start=1):
            most = max(most, taken - given)
        assert taken == 100
        assert most <= self.ahead

    def test_a_batch_that_cannot_be_read(
        self, small_networks: SmallNetworks, opened: Engine
    ) -> None:
        class Broken(Exception):
            pass

        def failing() -> Iterator[tuple[int, np.ndarray]]:
            for number in range(7):
                yield number, small_networks.patches
            raise Broken

        with pytest.raises(Broken):
            list(opened.classify_each(failing()))
        self._still_works(small_networks, opened)

    def test_closed_before_the_end(self, small_networks: SmallNetworks, opened: Engine) -> None:
        given_up = False

        def endless() -> Iterator[tuple[int, np.ndarray]]:
            nonlocal given_up
            try:
                while True:
                    yield 0, small_networks.patches
            finally:
                given_up = True

        batches = endless()
        classified = opened.classify_each(batches)
        next(classified)
        classified.close()  # type: ignore[attr-defined]
        batches.close()
        assert given_up
        self._still_works(small_networks, opened)

    def test_patches_of_another_size_are_an_error_and_no_more(
        self, small_networks: SmallNetworks, opened: Engine
    ) -> None:
        wrong = np.zeros((2, PATCH_PX // 2, PATCH_PX, 3), np.uint8)
        batches = [(0, small_networks.patches), (1, wrong), (2, small_networks.patches)]
        with pytest.raises(Exception, match=r"\d"):  # the library's own, with the sizes
            list(opened.classify_each(batches))
        self._still_works(small_networks, opened)

    def test_it_says_what_it_is(self, opened: Engine) -> None:
        assert (opened.name, opened.device, opened.precision) == (self.name, "CPU", "float32")

    def test_a_model_of_one_stage(self, small_networks: SmallNetworks) -> None:
        both = small_networks.files(self.suffix)
        engine = self.open(NetworkFiles(both.patch, None, None, 3))
        assert not engine.has_refinement
        with pytest.raises(RunError, match="without the refinement stage"):
            engine.refine(*small_networks.fields[0])
        engine = self.open(NetworkFiles(None, both.refinement, both.input_px, 3))
        assert engine.precision == "float32"
        assert engine.refine(*small_networks.fields[0]).shape[2] == 3
        with pytest.raises(RunError, match="without the patch stage"):
            engine.classify(small_networks.patches)

    def test_files_that_are_no_networks(
        self, small_networks: SmallNetworks, tmp_path: Path
    ) -> None:
        broken = tmp_path / f"broken{self.suffix}"
        broken.write_bytes(small_networks.files(self.suffix).patch.read_bytes()[:1000])
        empty = tmp_path / f"empty{self.suffix}"
        empty.touch()
        for file in (broken, empty):
            engine = self.open(NetworkFiles(file, None, None, 3))
            with pytest.raises(ModelError, match=f"{file.name}: .* cannot load it .*Export"):
                engine.classify(small_networks.patches)
        engine = self.open(NetworkFiles(tmp_path / "gone", None, None, 3))
        with pytest.raises(ModelError, match="gone: there is no such model file"):
            engine.classify(small_networks.patches)

    def test_loading_finds_what_is_wrong_with_either_network(
        self, small_networks: SmallNetworks, tmp_path: Path
    ) -> None:
        both = small_networks.files(self.suffix)
        self.open(both).load()
        for stage in ("patch", "refinement"):
            gone = dataclasses.replace(both, **{stage: tmp_path / f"gone_{stage}"})
            with pytest.raises(ModelError, match=f"gone_{stage}: there is no such model file"):
                self.open(gone).load()
        self.open(dataclasses.replace(both, refinement=None)).load()

    def test_a_network_that_is_not_ours(self, small_networks: SmallNetworks) -> None:
        both = small_networks.files(self.suffix)
        swapped = self.open(NetworkFiles(both.refinement, both.patch, both.input_px, 3))
        with pytest.raises(ModelError, match="not a patch network of h2g: .*input_0_image"):
            swapped.classify(small_networks.patches)
        with pytest.raises(ModelError, match="not a refinement network of h2g: .*input_0_patch"):
            swapped.refine(*small_networks.fields[0])

    @pytest.mark.skipif(cuda_gpus() > 0, reason="there is a GPU")
    def test_a_gpu_that_is_not_there(self) -> None:
        """In a process of its own: libraries that look for GPUs load their drivers."""
        code = (
            "from h2g.errors import WrongUseError\n"
            "from h2g.engines.engine import NetworkFiles\n"
            f"from {self.engine.__module__} import {self.engine.__name__} as Engine\n"
            "try:\n    Engine(NetworkFiles(None, None, None, 3), device='GPU')\n"
            "except WrongUseError as error:\n    print(error)"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert re.search("GPU.*--device CPU", result.stdout), result.stderr

    def _still_works(self, small_networks: SmallNetworks, engine: Engine) -> None:
        found = engine.classify(small_networks.patches)
        np.testing.assert_allclose(found, small_networks.expected, atol=PATCH_TOLERANCE)


class FastGraphsContract(EngineContract):
    """An engine that also opens the graphs for FAST: one patch a call, and a third input."""

    def test_graphs_for_fast(self, small_networks: SmallNetworks) -> None:
        engine = self.open(small_networks.files(self.suffix, fast=True))
        found = engine.classify(small_networks.patches)
        np.testing.assert_allclose(found, small_networks.expected, atol=PATCH_TOLERANCE)
        each = dict(engine.classify_each([("a", small_networks.patches[3:8])]))
        np.testing.assert_allclose(each["a"], small_networks.expected[3:8], atol=PATCH_TOLERANCE)
        for field, expected in zip(
            small_networks.fields, small_networks.expected_fields, strict=True
        ):
            np.testing.assert_allclose(engine.refine(*field), expected, atol=FIELD_TOLERANCE)
